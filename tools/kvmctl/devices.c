// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl devices: the sessions of vfio-keepalive. */
#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/vfio_keepalive.h>

#include "kvmctl.h"

#define DEVICE "/dev/vfio-keepalive"

/* How a session is named where it is spoken of */
#define SESSION "session %u"

static const char * const states[] = {
	[VFIO_KEEPALIVE_ACTIVE] = "active",
	[VFIO_KEEPALIVE_ORPHANED] = "orphaned",
	[VFIO_KEEPALIVE_CLAIMED] = "claimed",
	[VFIO_KEEPALIVE_RELEASED] = "released",
};

static const char * const kinds[] = {
	[VFIO_KEEPALIVE_CONTAINER] = "container",
	[VFIO_KEEPALIVE_GROUP] = "group",
	[VFIO_KEEPALIVE_DEVICE] = "device",
	[VFIO_KEEPALIVE_EVENTFD] = "eventfd",
	[VFIO_KEEPALIVE_MEMORY] = "memory",
	[VFIO_KEEPALIVE_VM] = "vm",
	[VFIO_KEEPALIVE_VCPU] = "vcpu",
	[VFIO_KEEPALIVE_KVM_DEVICE] = "kvm-device",
};

static const char *state_name(unsigned int i)
{
	return i < sizeof(states) / sizeof(*states) ? states[i] : "unknown";
}

static const char *kind_name(unsigned int i)
{
	return i < sizeof(kinds) / sizeof(*kinds) && kinds[i] ? kinds[i] : "unknown";
}

/**
 * struct wanted - what the command line asks for
 * @verb:	NULL to list all
 * @session:	its number
 * @force:	also one that a process has
 * @token:	file with its token, or NULL to need CAP_SYS_ADMIN
 */
struct wanted {
	const char *verb;
	unsigned int session;
	bool force;
	const char *token;
};

static int device(void)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && !host_has_module("vfio_keepalive"))
		die("vfio-keepalive is not loaded");
	if (fd < 0)
		die_errno(DEVICE);
	return fd;
}

/* 10 digits, 64 digits, two line feeds */
#define TICKET_LEN	(10 + 1 + 2 * VFIO_KEEPALIVE_TOKEN_LEN + 1)

static bool parse_digits(const char *text, __u8 *token)
{
	size_t i;

	for (i = 0; i < 2 * VFIO_KEEPALIVE_TOKEN_LEN; i += 2) {
		char digits[3] = { text[i], text[i + 1] };

		if (!isxdigit((unsigned char)text[i]) || !isxdigit((unsigned char)text[i + 1]))
			return false;
		token[i / 2] = strtoul(digits, NULL, 16);
	}
	return !text[i] || !strcmp(text + i, "\n");
}

/*
 * The token is 32 bytes, or as many in hexadecimal digits and a line feed; in a ticket of
 * libkvmrelay the session's number is on a line before those.
 */
static void read_token(const char *path, unsigned int session, __u8 *token)
{
	char text[TICKET_LEN + 2] = "", *digits = text, *end;
	unsigned long number = session;
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f)
		die_errno("%s", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	if (n == VFIO_KEEPALIVE_TOKEN_LEN) {
		memcpy(token, text, n);
		return;
	}
	if (isdigit((unsigned char)*text)) {
		number = strtoul(text, &end, 10);
		if (*end == '\n' && end[1])
			digits = end + 1;
		else
			number = session;
	}
	if (!parse_digits(digits, token))
		die("%s: neither %u bytes nor %u hexadecimal digits, nor a ticket",
		    path, VFIO_KEEPALIVE_TOKEN_LEN, 2 * VFIO_KEEPALIVE_TOKEN_LEN);
	if (number != session)
		die("%s: a ticket of session %lu, not %u", path, number, session);
}

/* The device, or with a token what watches that session alone */
static int device_for(const struct wanted *w)
{
	struct vfio_keepalive_watch args = { .argsz = sizeof(args), .session = w->session };
	int fd = device(), watch;

	if (!w->token)
		return fd;
	read_token(w->token, w->session, args.token);
	watch = ioctl(fd, VFIO_KEEPALIVE_WATCH, &args);
	if (watch < 0 && (errno == EACCES || errno == ESTALE))
		die(SESSION ": %s is not its token", w->session, w->token);
	if (watch < 0)
		die_errno(SESSION, w->session);
	close(fd);
	return watch;
}

/* Why an ioctl of a session failed. */
static void failed(unsigned int session)
{
	if (errno == EPERM)
		die(SESSION ": needs its token (--token) or CAP_SYS_ADMIN", session);
	die_errno(SESSION, session);
}

/* struct names - what others chose, to be printed */
struct names {
	char name[TEXT_LEN(VFIO_KEEPALIVE_NAME_LEN)];
	char comm[TEXT_LEN(16)];
};

static void escape(struct names *to, const struct vfio_keepalive_info *i)
{
	text_escape(to->name, sizeof(to->name), i->name, true);
	text_escape(to->comm, sizeof(to->comm), i->comm, true);
}

static json_t *session_json(const struct vfio_keepalive_info *i)
{
	struct names n;

	escape(&n, i);
	return json_pack("{s:i, s:s, s:s, s:I, s:i, s:s, s:i, s:i, s:i, s:i, s:I, s:I}",
			 "session", i->session, "name", n.name,
			 "state", state_name(i->state), "uid", (json_int_t)i->uid, "pid", i->pid,
			 "comm", n.comm, "items", i->items, "claims", i->claims,
			 "limit_ms", i->limit_ms, "left_ms", i->left_ms,
			 "bytes", (json_int_t)i->bytes, "memory", (json_int_t)i->memory);
}

static void session_text(const struct vfio_keepalive_info *i)
{
	char left[16] = "-", memory[32];
	struct names n;

	escape(&n, i);
	snprintf(memory, sizeof(memory), "%.1f", i->memory / 1048576.0);
	if (i->state == VFIO_KEEPALIVE_ORPHANED)
		snprintf(left, sizeof(left), "%.1f", i->left_ms / 1e3);
	printf("%7u %-8s %6u %8d %-15s %5u %9s %6u %8s  %s\n", i->session,
	       state_name(i->state), i->uid, i->pid, n.comm, i->items, memory, i->claims, left,
	       n.name);
}

static void session_head(void)
{
	printf("%7s %-8s %6s %8s %-15s %5s %9s %6s %8s  %s\n", "SESSION", "STATE", "UID", "PID",
	       "COMMAND", "ITEMS", "MIB", "CLAIMS", "LEFT", "NAME");
}

/**
 * devices_state - a session's state, as people know it
 * @state: enum vfio_keepalive_state
 */
const char *devices_state(unsigned int state)
{
	return state_name(state);
}

/**
 * devices_list - all sessions of the host, as far as they can be seen
 * @list: set to an array, to be freed
 *
 * Return: how many; 0 also when vfio-keepalive is not loaded.
 */
size_t devices_list(struct vfio_keepalive_info **list)
{
	struct vfio_keepalive_info info = {
		.argsz = sizeof(info), .flags = VFIO_KEEPALIVE_NEXT,
	};
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	size_t n = 0;

	*list = NULL;
	for (; fd >= 0 && !ioctl(fd, VFIO_KEEPALIVE_INFO, &info); info.session++) {
		*list = reallocarray(*list, n + 1, sizeof(**list));
		if (!*list)
			die_errno(NULL);
		(*list)[n++] = info;
	}
	if (fd >= 0)
		close(fd);
	return n;
}

static void list(int fd)
{
	struct vfio_keepalive_info info = {
		.argsz = sizeof(info), .flags = VFIO_KEEPALIVE_NEXT,
	};
	json_t *all = json_array();

	if (!json_wanted)
		session_head();
	for (; !ioctl(fd, VFIO_KEEPALIVE_INFO, &info); info.session++) {
		if (json_wanted)
			json_array_append_new(all, session_json(&info));
		else
			session_text(&info);
	}
	if (errno == EPERM)
		die("the sessions of a host are shown with CAP_SYS_ADMIN only");
	if (errno != ENOENT)
		die_errno("VFIO_KEEPALIVE_INFO");
	if (json_wanted)
		say_json(json_pack("{s:O}", "sessions", all));
	json_decref(all);
}

static void show(int fd, unsigned int id)
{
	struct vfio_keepalive_info info = { .argsz = sizeof(info), .session = id };
	struct vfio_keepalive_item item = {
		.argsz = sizeof(item), .flags = VFIO_KEEPALIVE_ITEM_NEXT, .session = id,
	};
	char name[TEXT_LEN(VFIO_KEEPALIVE_NAME_LEN)];
	json_t *all = json_array(), *j;

	if (ioctl(fd, VFIO_KEEPALIVE_INFO, &info))
		failed(id);
	if (!json_wanted) {
		session_head();
		session_text(&info);
		printf("\n%5s %-9s %8s  %s\n", "INDEX", "KIND", "BYTES", "NAME");
	}
	for (; !ioctl(fd, VFIO_KEEPALIVE_ITEM, &item); item.index++) {
		text_escape(name, sizeof(name), item.name, true);
		if (json_wanted)
			json_array_append_new(all, json_pack("{s:i, s:s, s:i, s:s}",
							     "index", item.index,
							     "kind", kind_name(item.kind),
							     "bytes", item.state_size,
							     "name", name));
		else
			printf("%5u %-9s %8u  %s\n", item.index, kind_name(item.kind),
			       item.state_size, name);
	}
	if (errno != ENOENT)
		failed(id);
	if (json_wanted) {
		j = session_json(&info);
		json_object_set(j, "kept", all);
		say_json(j);
	}
	json_decref(all);
}

static void release(int fd, const struct wanted *w)
{
	struct vfio_keepalive_release args = {
		.argsz = sizeof(args), .session = w->session,
		.flags = w->force ? VFIO_KEEPALIVE_RELEASE_FORCE : 0,
	};

	if (ioctl(fd, VFIO_KEEPALIVE_RELEASE, &args)) {
		if (errno == EBUSY)
			die(SESSION ": a process has it (--force)", w->session);
		failed(w->session);
	}
	if (json_wanted)
		say_json(json_pack("{s:i}", "released", w->session));
	else
		printf(SESSION " is released\n", w->session);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct wanted *w = state->input;
	unsigned long n;
	char *end;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		return 0;
	case 'f':
		w->force = true;
		return 0;
	case 't':
		w->token = arg;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0) {
			if (strcmp(arg, "show") && strcmp(arg, "release"))
				argp_error(state, "neither show nor release: '%s'", arg);
			w->verb = arg;
			return 0;
		}
		if (state->arg_num > 1)
			argp_usage(state);
		errno = 0;
		n = strtoul(arg, &end, 10);
		if (errno || end == arg || *end || !n || n > 0x7fffffff)
			argp_error(state, "no number of a session: '%s'", arg);
		w->session = n;
		return 0;
	case ARGP_KEY_END:
		if (w->verb && !w->session)
			argp_error(state, "which session?");
		if (w->force && (!w->verb || strcmp(w->verb, "release")))
			argp_error(state, "--force is for release");
		if (w->token && !w->verb)
			argp_error(state, "--token is for show and release");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

/**
 * devices_sessions - kvmctl devices
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int devices_sessions(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "force", 'f', NULL, 0, "Release a session that a process has, too", 0 },
		{ "token", 't', "FILE", 0,
		  "The session's token, instead of CAP_SYS_ADMIN: 32 bytes, 64 hexadecimal digits, or a ticket of libkvmrelay",
		  0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "\nshow SESSION\nrelease SESSION",
		.doc = "Lists sessions that keep passed-through devices, or shows or releases one.",
		.children = common_options,
	};
	struct wanted w = { 0 };
	int fd;

	argp_parse(&argp, argc, argv, 0, NULL, &w);
	fd = device_for(&w);
	if (!w.verb)
		list(fd);
	else if (!strcmp(w.verb, "show"))
		show(fd, w.session);
	else
		release(fd, &w);
	close(fd);
	return 0;
}
