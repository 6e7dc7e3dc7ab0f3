// SPDX-License-Identifier: GPL-2.0-only
/* What a QEMU that is to replace itself lacks. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpr.h"
#include "pci.h"

/* An id that the command line gives to a device, as -device or in JSON. */
static bool on_command_line(const struct qemu *q, const char *id)
{
	const char *name, *value;
	char v[256];
	size_t at = 1;

	while (qemu_option(q, &at, &name, &value))
		if (!strcmp(name, "device") && qemu_value(value, "id", v, sizeof(v)) &&
		    !strcmp(v, id))
			return true;
	return false;
}

static void check_devices(struct cpr *c)
{
	json_t *r = qmp_call(&c->old, "qom-list", json_pack("{s:s}", "path", "/machine/peripheral"),
			     ANSWER_MS);
	const char *name, *type;
	char text[TEXT_LEN(128)];
	size_t i;
	json_t *o;

	json_array_foreach(r, i, o) {
		name = json_string_value(json_object_get(o, "name"));
		type = json_string_value(json_object_get(o, "type"));
		if (!name || !type || strncmp(type, "child<", 6) || on_command_line(&c->q, name))
			continue;
		text_escape(text, sizeof(text), name, true);
		cpr_because(c, "device %s was plugged in later: the command line does not have it",
			    text);
	}
	json_decref(r);
}

static bool on_line_as_node(const struct qemu *q, const char *node)
{
	const char *name, *value;
	char v[256], nested[300];
	size_t at = 1;

	snprintf(nested, sizeof(nested), "\"node-name\":\"%s\"", node);
	while (qemu_option(q, &at, &name, &value))
		if ((qemu_value(value, "node-name", v, sizeof(v)) && !strcmp(v, node)) ||
		    strstr(value, nested))
			return true;
	return false;
}

/*
 * A snapshot, a commit, another medium: the new QEMU would open other files than the guest has
 * by now. A node with a name of QEMU's own belongs to another one.
 */
static void check_blocks(struct cpr *c)
{
	json_t *r = qmp_call(&c->old, "query-named-block-nodes", json_pack("{s:b}", "flat", 1),
			     ANSWER_MS), *o;
	const char *name, *value, *node;
	char v[256], text[TEXT_LEN(256)];
	size_t i, at = 1;
	bool found;

	if (!r)
		cpr_because(c, "%s", c->old.error);
	json_array_foreach(r, i, o) {
		node = json_string_value(json_object_get(o, "node-name"));
		if (!node || *node == '#' || on_line_as_node(&c->q, node))
			continue;
		text_escape(text, sizeof(text), node, true);
		cpr_because(c, "block node %s came later, and is not on the command line", text);
	}
	while (r && qemu_option(&c->q, &at, &name, &value)) {
		if (strcmp(name, "blockdev") || !qemu_value(value, "node-name", v, sizeof(v)))
			continue;
		found = false;
		json_array_foreach(r, i, o) {
			node = json_string_value(json_object_get(o, "node-name"));
			found |= node && !strcmp(node, v);
		}
		if (!found)
			cpr_because(c, "block node %s of the command line is there no more",
				    text_escape(text, sizeof(text), v, true));
	}
	json_decref(r);
}

/*
 * A QEMU that starts resets its machine, also when it takes over from another. It leaves out
 * what is passed through, but not what it would reset together with the bus: of that it
 * takes bus mastering and memory away, and the guest does not get over it.
 */
static void check_reset(struct cpr *c, const char *container, const char *name)
{
	char path[256], text[TEXT_LEN(128)], address[32];
	unsigned int domain, bus, slot, function;
	const char *dir, *last;
	bool yes;
	json_t *r;

	snprintf(path, sizeof(path), "%s/%s", container, name);
	/* QEMU sets it from host=, too. */
	r = qmp_call(&c->old, "qom-get",
		     json_pack("{s:s, s:s}", "path", path, "property", "sysfsdev"), ANSWER_MS);
	dir = json_string_value(r) ? json_string_value(r) : "";
	last = strrchr(dir, '/');
	text_escape(text, sizeof(text), name, true);
	if (!last || sscanf(last, "/%x:%x:%x.%x", &domain, &bus, &slot, &function) != 4) {
		cpr_because(c, "device %s: it is not known how it is reset", text);
		goto out;
	}
	snprintf(address, sizeof(address), "%04x:%02x:%02x.%x", domain, bus & 0xff,
		 slot & 0x1f, function & 7);
	if (!pci_resets_with_bus(address, &yes))
		cpr_because(c, "device %s: config space of %s: %s", text, address,
			    strerror(errno));
	else if (yes)
		cpr_because(c, "device %s: %s has no reset of its own, a new QEMU disables it",
			    text, address);
out:
	json_decref(r);
}

static void check_resets(struct cpr *c)
{
	static const char * const containers[] = {
		"/machine/peripheral", "/machine/peripheral-anon",
	};
	const char *name, *type;
	size_t i, j;
	json_t *r, *o;

	for (i = 0; i < sizeof(containers) / sizeof(*containers); i++) {
		r = qmp_call(&c->old, "qom-list", json_pack("{s:s}", "path", containers[i]),
			     ANSWER_MS);
		json_array_foreach(r, j, o) {
			name = json_string_value(json_object_get(o, "name"));
			type = json_string_value(json_object_get(o, "type"));
			if (name && type && !strncmp(type, "child<vfio-pci", 14))
				check_reset(c, containers[i], name);
		}
		json_decref(r);
	}
}

/* QEMU's own reasons, which depend on the mode. */
static void check_blockers(struct cpr *c)
{
	const char *mode = c->o->exec ? "cpr-exec" : "cpr-transfer";
	json_t *r, *o, *command = NULL;
	char text[512];
	size_t i;

	if (c->o->exec)
		command = json_pack("[s]", c->program);
	if (!cpr_set_mode(c, mode, command)) {
		cpr_because(c, "QEMU %s has no %s (%s)", c->version[0], mode, c->old.error);
		return;
	}
	r = qmp_call(&c->old, "query-migrate", NULL, ANSWER_MS);
	json_array_foreach(json_object_get(r, "blocked-reasons"), i, o) {
		text_escape(text, sizeof(text), json_string_value(o) ? json_string_value(o) : "?",
			    false);
		cpr_because(c, "%s", text);
	}
	if (!r || !cpr_set_mode(c, "normal", NULL))
		cpr_because(c, "%s", c->old.error);
	json_decref(r);
}

/* The init process of a service ends with it, and the second process is one of it. */
static void check_service(struct cpr *c)
{
	char *cgroup = qemu_file(c->q.pid, "cgroup", NULL), *s, ppid[16] = "";
	size_t n;

	s = cgroup ? strstr(cgroup, "0::") : NULL;
	qemu_status(c->q.pid, "PPid", ppid, sizeof(ppid));
	if (s && !strcmp(ppid, "1")) {
		s[strcspn(s, "\n")] = '\0';
		s = strrchr(s, '/');
		n = s ? strlen(s) : 0;
		if (n > 8 && !strcmp(s + n - 8, ".service"))
			cpr_because(c, "%s, whose main process it is, ends with it: --mode=exec",
				    s + 1);
	}
	free(cgroup);
}

static bool of_add_fd(const struct qemu *q, int fd)
{
	const char *name, *value;
	size_t at = 1;
	char v[16];

	while (qemu_option(q, &at, &name, &value))
		if (!strcmp(name, "add-fd") && qemu_value(value, "fd", v, sizeof(v)) &&
		    atoi(v) == fd)
			return true;
	return false;
}

/* Descriptors that the command line names and that do not outlive the exec. */
static void check_fds(struct cpr *c)
{
	unsigned int flags;
	char name[64], *info, *s;
	size_t i;

	for (i = 0; i < c->q.nr_fds; i++) {
		snprintf(name, sizeof(name), "fdinfo/%d", c->q.fds[i]);
		info = qemu_file(c->q.pid, name, NULL);
		s = info ? strstr(info, "flags:") : NULL;
		if (of_add_fd(&c->q, c->q.fds[i]))
			/* QEMU has a copy under another number, which it closes. */
			cpr_because(c, "descriptor %d, which -add-fd names, ends with an exec",
				    c->q.fds[i]);
		else if (!s || sscanf(s, "flags: %o", &flags) != 1 || flags & O_CLOEXEC)
			cpr_because(c, "descriptor %d, which the command line names, %s",
				    c->q.fds[i],
				    s ? "is closed by exec: --mode=transfer" : "is closed");
		free(info);
	}
}

/* It would fail with EPERM, when the guest is stopped already. */
static void check_sandbox(struct cpr *c)
{
	char mode[16] = "", v[16];
	const char *name, *value;
	bool denied = false;
	size_t at = 1;

	while (qemu_option(&c->q, &at, &name, &value))
		denied |= !strcmp(name, "sandbox") && qemu_value(value, "spawn", v, sizeof(v)) &&
			  !strcmp(v, "deny");
	if (denied && qemu_status(c->q.pid, "Seccomp", mode, sizeof(mode)) && strcmp(mode, "0"))
		cpr_because(c, "its seccomp filter (-sandbox spawn=deny) forbids exec");
}

static void check_memory(struct cpr *c)
{
	json_t *r = qmp_call(&c->old, "qom-get", json_pack("{s:s, s:s}", "path", "/machine",
							  "property", "aux-ram-share"), ANSWER_MS);
	bool shared = true;
	json_t *o;
	size_t i;

	if (!json_is_true(r))
		cpr_because(c, "no -machine aux-ram-share=on");
	json_decref(r);
	r = qmp_call(&c->old, "query-memdev", NULL, ANSWER_MS);
	json_array_foreach(r, i, o)
		shared &= json_is_true(json_object_get(o, "share"));
	if (!shared || !json_array_size(r))
		cpr_because(c, "no -object memory-backend-memfd,share=on as memory-backend");
	json_decref(r);
}

static void check_program(struct cpr *c)
{
	char path[PATH_MAX + 32], text[TEXT_LEN(512)];

	snprintf(path, sizeof(path), "/proc/%d/root%s", c->q.pid, c->program);
	if (access(path, X_OK))
		cpr_because(c, "%s: %s", text_escape(text, sizeof(text), c->program, true),
			    strerror(errno));
}

/* Whether its guest runs, or may run: what is left of one that has gone must not. */
static void check_status(struct cpr *c)
{
	static const char * const away[] = { "postmigrate", "finish-migrate", "inmigrate" };
	char is[32];
	size_t i;

	cpr_status_of(&c->old, is, sizeof(is));
	c->ran = !strcmp(is, "running");
	if (!*is)
		cpr_because(c, "%s", c->old.error);
	for (i = 0; i < sizeof(away) / sizeof(*away); i++)
		if (!strcmp(is, away[i]))
			cpr_because(c, "its guest may be in another QEMU: it is in state %s", is);
}

/**
 * cpr_check_process - is anything missing of what /proc tells?
 * @c: the QEMU; each reason is added to @c->why
 */
void cpr_check_process(struct cpr *c)
{
	check_program(c);
	if (!c->o->exec) {
		check_service(c);
		return;
	}
	check_fds(c);
	check_sandbox(c);
}

/**
 * cpr_check - is anything missing for it?
 * @c: the QEMU; each reason is added to @c->why, and @c->ran is set
 */
void cpr_check(struct cpr *c)
{
	check_status(c);
	check_memory(c);
	check_blockers(c);
	check_devices(c);
	check_blocks(c);
	check_resets(c);
	cpr_check_process(c);
}
