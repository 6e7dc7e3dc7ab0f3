// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl move: VMs go to an instance. */
#include <err.h>
#include <fnmatch.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "handoffs.h"
#include "qemu.h"

/**
 * struct moves - what was asked for, and what came of it
 * @all:	every VM
 * @from:	of these, those on this instance; or NULL
 * @name:	whose command, or whose QEMU's name, has this pattern; or NULL
 * @cgroup:	whose process is in this cgroup or below it; or NULL
 * @has_uid:	whose user is @uid
 * @uid:	see @has_uid
 * @pid:	of the process whose descriptor @fd is
 * @fd:		in that process; -1 for none
 * @args:	VMs, and behind them the instance
 * @nr_args:	of these
 * @o:		how
 * @json:	array of results
 * @rows:	of the table so far
 */
struct moves {
	bool all;
	const char *from;
	const char *name;
	const char *cgroup;
	bool has_uid;
	unsigned int uid;
	int pid;
	int fd;
	char **args;
	size_t nr_args;
	struct handoff_options o;
	json_t *json;
	unsigned int rows;
};

static double us(__u64 ns)
{
	return ns / 1000.0;
}

/* A row as soon as it is known: with many VMs the table is the progress. */
static void result_text(struct moves *m, const struct handoff *one)
{
	const struct kvm_core_move *mv = &one->mv;
	int i;

	if (!m->rows++) {
		puts(m->o.want.flags & KVM_CORE_MOVE_DRY_RUN ?
		     "Nothing is stopped. Microseconds of each stage:" :
		     "Microseconds of each stage, and how long the vCPUs were stopped:");
		printf("%4s %-15s %5s", "VM", "COMMAND", "VCPUS");
		for (i = 0; i < KVM_CORE_STAGES; i++)
			printf(" %9s", handoff_stage(i));
		printf(" %9s\n", "STOPPED");
	}
	printf("%4u %-15s %5u", mv->vm, one->vm.comm, mv->vcpus);
	for (i = 0; i < KVM_CORE_STAGES; i++)
		printf(" %9.1f", us(mv->stage_ns[i]));
	printf(" %9.1f\n", us(mv->downtime_ns));
	fflush(stdout);
}

static void told(struct handoffs *h, const struct handoff *one)
{
	struct moves *m = h->data;

	if (one->state == HANDOFF_GONE)
		return;
	if (one->state == HANDOFF_FAILED && !one->vm.id)
		warnx("descriptor %d of process %d: %s (%s)", m->fd, m->pid, one->mv.reason,
		      strerror(one->mv.error));
	if (json_lines)
		say_line(json_pack("{s:o}", "move", handoff_json(one)));
	else if (json_wanted)
		json_array_append_new(m->json, handoff_json(one));
	else if (one->state == HANDOFF_MOVED)
		result_text(m, one);
}

static bool in_cgroup(int pid, const char *cgroup)
{
	char path[64], line[PATH_MAX];
	size_t len = strlen(cgroup);
	bool found = false;
	FILE *f;

	while (len > 1 && cgroup[len - 1] == '/')
		len--;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	f = fopen(path, "re");
	while (f && !found && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		/* The unified hierarchy's, which has no controllers named. */
		if (strncmp(line, "0::", 3) || strncmp(line + 3, cgroup, len))
			continue;
		found = !line[3 + len] || line[3 + len] == '/' || len == 1;
	}
	if (f)
		fclose(f);
	return found;
}

static bool has_name(const struct vm *vm, const char *pattern)
{
	struct qemu q;
	bool hit;

	if (!fnmatch(pattern, vm->comm, 0))
		return true;
	if (!vm->pid || qemu_open(&q, vm->pid))
		return false;
	hit = *q.name && !fnmatch(pattern, q.name, 0);
	qemu_close(&q);
	return hit;
}

static bool is_wanted(const struct moves *m, const struct vm *vm)
{
	return (!m->from || !strcmp(m->from, vm->instance)) &&
	       (!m->has_uid || m->uid == vm->uid) &&
	       (!m->cgroup || in_cgroup(vm->pid, m->cgroup)) &&
	       (!m->name || has_name(vm, m->name));
}

static bool known(const struct handoffs *h, const struct vm *vm)
{
	size_t i;

	for (i = 0; i < h->total; i++)
		if (h->all[i].vm.id == vm->id)
			return true;
	return false;
}

/* VMs that come while others are moved are moved too; each is asked once. */
static void move_all(struct moves *m, struct handoffs *h, const char *to)
{
	struct vm *vms;
	size_t i, n, before;

	do {
		before = h->total;
		n = host_vms(&vms);
		for (i = 0; i < n; i++)
			if (is_wanted(m, &vms[i]) && !known(h, &vms[i]))
				handoffs_add(h, &vms[i], to, -1);
		free(vms);
		handoffs_smallest_first(h, before);
		handoffs_run(h);
	} while (h->total > before && !signals_pending() && !handoffs_over(h));
}

static void move_fd(struct moves *m, struct handoffs *h, const char *to)
{
	struct vm vm = { .id = 0 };
	int pidfd, fd;

	pidfd = syscall(SYS_pidfd_open, m->pid, 0);
	if (pidfd < 0)
		die_errno("process %d", m->pid);
	fd = syscall(SYS_pidfd_getfd, pidfd, m->fd, 0);
	if (fd < 0)
		die_errno("descriptor %d of process %d", m->fd, m->pid);
	handoffs_add(h, &vm, to, fd);
	handoffs_run(h);
	close(fd);
	close(pidfd);
}

/* In the order in which they are named. */
static void move_named(struct moves *m, struct handoffs *h, const char *to)
{
	struct vm vm;
	size_t i;

	for (i = 0; i + 1 < m->nr_args; i++) {
		if (!host_vm(strtoul(m->args[i], NULL, 10), &vm))
			die("there is no VM %s", m->args[i]);
		if (!known(h, &vm))
			handoffs_add(h, &vm, to, -1);
	}
	handoffs_run(h);
}

/* A number, or a name of /etc/passwd. */
static unsigned int parse_user(struct argp_state *state, const char *arg)
{
	struct passwd *pw = NULL;
	FILE *f;

	if (*arg >= '0' && *arg <= '9')
		return say_number(state, arg, "a user", 0, UINT_MAX);
	/* Without the name service, which a static program has not. */
	f = fopen("/etc/passwd", "re");
	while (f && (pw = fgetpwent(f)) && strcmp(pw->pw_name, arg))
		;
	if (f)
		fclose(f);
	if (!pw)
		argp_error(state, "/etc/passwd has no user '%s': give a number", arg);
	return pw->pw_uid;
}

enum { OPT_NO_POPULATE = 256, OPT_PID, OPT_FD, OPT_FROM, OPT_UID, OPT_NAME, OPT_CGROUP };

static error_t parse_move(int key, char *arg, struct argp_state *state)
{
	struct moves *m = state->input;
	bool named;
	size_t i;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		state->child_inputs[1] = &m->o;
		break;
	case 'a':
		m->all = true;
		break;
	case 'n':
		m->o.want.flags |= KVM_CORE_MOVE_DRY_RUN;
		break;
	case OPT_NO_POPULATE:
		m->o.want.flags |= KVM_CORE_MOVE_NO_POPULATE;
		break;
	case OPT_PID:
		m->pid = say_number(state, arg, "a process", 1, INT_MAX);
		break;
	case OPT_FD:
		m->fd = say_number(state, arg, "a descriptor", 0, INT_MAX);
		break;
	case OPT_FROM:
		m->from = arg;
		break;
	case OPT_UID:
		m->uid = parse_user(state, arg);
		m->has_uid = true;
		break;
	case OPT_NAME:
		m->name = arg;
		break;
	case OPT_CGROUP:
		if (*arg != '/')
			argp_error(state, "a cgroup is a path from the root of the hierarchy");
		m->cgroup = arg;
		break;
	case ARGP_KEY_ARGS:
		m->args = state->argv + state->next;
		m->nr_args = state->argc - state->next;
		break;
	case ARGP_KEY_END:
		if (!m->nr_args)
			argp_error(state, "where to?");
		if (strlen(m->args[m->nr_args - 1]) >= KVM_CORE_NAME_LEN)
			argp_error(state, "'%s' is too long for an instance's name",
				   m->args[m->nr_args - 1]);
		for (i = 0; i + 1 < m->nr_args; i++)
			say_number(state, m->args[i], "a VM", 1, INT_MAX);
		if ((m->pid && m->fd < 0) || (!m->pid && m->fd >= 0))
			argp_error(state, "--pid and --fd belong together");
		named = m->nr_args > 1;
		if (m->all + named + !!m->pid != 1)
			argp_error(state, "one of VM..., --all, or --pid with --fd");
		if (!m->all && (m->from || m->has_uid || m->name || m->cgroup))
			argp_error(state, "--from, --uid, --name and --cgroup go with --all");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int result(const struct moves *m, const struct handoffs *h)
{
	size_t left = h->total - h->tried;
	json_t *o;

	o = json_pack("{s:i, s:i, s:i, s:i}", "moved", h->moved, "here", h->here,
		      "failed", h->failed, "not_tried", (int)left);
	if (json_wanted && !json_lines)
		json_object_set(o, "moves", m->json);
	if (json_wanted)
		say_json(json_incref(o));
	else
		printf("%u %s, %u there already, %u failed\n", h->moved,
		       m->o.want.flags & KVM_CORE_MOVE_DRY_RUN ? "would move" : "moved", h->here,
		       h->failed);
	json_decref(o);
	fflush(stdout);
	if (left)
		warnx("%zu of %zu were not tried: %s", left, h->total,
		      handoffs_over(h) ? "too many have failed" : "a signal came");
	if (!h->total)
		warnx("there is no VM%s", m->from || m->has_uid || m->name || m->cgroup ?
		      " like that" : "");
	if (!h->total)
		return EXIT_EMPTY;
	if (!h->failed && !left)
		return 0;
	return h->moved + h->here ? EXIT_SOME : EXIT_NONE;
}

/**
 * move_vms - kvmctl move
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int move_vms(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "all", 'a', NULL, 0, "All VMs, those with the fewest vCPUs first", 0 },
		{ "from", OPT_FROM, "NAME", 0, "With --all: only those on this instance", 0 },
		{ "uid", OPT_UID, "USER", 0, "With --all: only those of this user", 0 },
		{ "name", OPT_NAME, "PATTERN", 0,
		  "With --all: only those whose command or whose QEMU's -name is like that", 0 },
		{ "cgroup", OPT_CGROUP, "PATH", 0,
		  "With --all: only those in this cgroup, or below it", 0 },
		{ "pid", OPT_PID, "PID", 0, "The VM that a descriptor of this process is", 0 },
		{ "fd", OPT_FD, "FD", 0, "Number of the descriptor in that process", 0 },
		{ "dry-run", 'n', NULL, 0, "Set it up on the target, say whether that works", 0 },
		{ "no-populate", OPT_NO_POPULATE, NULL, 0, "Do not map memory ahead", 0 },
		{ 0 }
	};
	const struct argp_child children[] = {
		*common_options, { &handoff_argp, 0, NULL, 0 }, { 0 }
	};
	const struct argp argp = {
		.options = options,
		.parser = parse_move,
		.args_doc = "VM... NAME\n--all NAME\n--pid=PID --fd=FD NAME",
		.doc = "Hands VMs over to the instance NAME. VM is a number of kvmctl status.",
		.children = children,
	};
	struct moves m = { .fd = -1, .o.max_failures = HANDOFFS_NO_LIMIT };
	struct handoffs h;
	const char *to;
	int status;

	argp_parse(&argp, argc, argv, 0, NULL, &m);
	to = m.args[m.nr_args - 1];
	handoffs_init(&h, host_control());
	handoffs_set(&h, &m.o);
	h.told = told;
	h.data = &m;
	if (!host_has_instance(to))
		die("%s: no such instance is loaded", to);
	m.json = json_array();
	signals_hold();
	if (m.all)
		move_all(&m, &h, to);
	else if (m.pid)
		move_fd(&m, &h, to);
	else
		move_named(&m, &h, to);
	close(h.control);
	status = result(&m, &h);
	json_decref(m.json);
	handoffs_free(&h);
	signals_release();
	return status;
}
