// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl move and default: which VM is on which instance. */
#include <err.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvmctl.h"

static const char * const stages[KVM_CORE_STAGES] = {
	"record", "prepare", "stop", "quiesce", "move", "commit", "retire"
};

/**
 * struct moves - what was asked for, and what came of it
 * @all:	every VM
 * @pid:	of the process whose descriptor @fd is
 * @fd:		in that process; -1 for none
 * @vm:		number of the VM, 0 for none
 * @want:	what every VM is asked
 * @control:	descriptor of the control device
 * @json:	array of results
 * @total:	VMs that are to be moved, as far as known
 * @tried:	of these, so many were asked
 * @moved:	these arrived, or would
 * @here:	these were there
 * @failed:	these stay where they were
 * @rows:	of the table so far
 */
struct moves {
	bool all;
	int pid;
	int fd;
	unsigned int vm;
	struct kvm_core_move want;
	int control;
	json_t *json;
	size_t total;
	size_t tried;
	unsigned int moved;
	unsigned int here;
	unsigned int failed;
	unsigned int rows;
};

static const char *stage_name(const struct kvm_core_move *mv)
{
	return mv->stage < KVM_CORE_STAGES ? stages[mv->stage] : "?";
}

static json_t *result_json(const struct vm *vm, const struct kvm_core_move *mv)
{
	json_t *ns = json_object(), *o;
	int i;

	for (i = 0; i < KVM_CORE_STAGES; i++)
		json_object_set_new(ns, stages[i], json_integer(mv->stage_ns[i]));
	o = json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:i, s:s, s:i, s:i, s:I, s:I, s:o}",
		      "vm", mv->vm, "pid", mv->pid, "comm", vm->comm,
		      "from", mv->from, "to", mv->instance, "stage", stage_name(mv),
		      "error", mv->error, "reason", mv->reason,
		      "vcpus", mv->vcpus, "attempts", mv->attempts,
		      "populated", (json_int_t)mv->populated,
		      "downtime_ns", (json_int_t)mv->downtime_ns, "stage_ns", ns);
	return o;
}

static double us(__u64 ns)
{
	return ns / 1000.0;
}

/* A row as soon as it is known: with many VMs the table is the progress. */
static void result_text(struct moves *m, const struct vm *vm, const struct kvm_core_move *mv)
{
	int i;

	if (!m->rows++) {
		puts(m->want.flags & KVM_CORE_MOVE_DRY_RUN ?
		     "Nothing is stopped. Microseconds of each stage:" :
		     "Microseconds of each stage, and how long the vCPUs were stopped:");
		printf("%4s %-15s %5s", "VM", "COMMAND", "VCPUS");
		for (i = 0; i < KVM_CORE_STAGES; i++)
			printf(" %9s", stages[i]);
		printf(" %9s\n", "STOPPED");
	}
	printf("%4u %-15s %5u", mv->vm, vm->comm, mv->vcpus);
	for (i = 0; i < KVM_CORE_STAGES; i++)
		printf(" %9.1f", us(mv->stage_ns[i]));
	printf(" %9.1f\n", us(mv->downtime_ns));
	fflush(stdout);
}

static void progress(const struct moves *m, const struct vm *vm)
{
	if (!json_wanted && m->total > 1 && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%zu of %zu: VM %u (%s)\r", m->tried, m->total, vm->id,
			vm->comm);
}

static void progress_end(const struct moves *m)
{
	if (!json_wanted && m->total > 1 && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* @vm: zeroed but for what is known. @fd: its descriptor here when its number is not. */
static void move_one(struct moves *m, struct vm *vm, int fd)
{
	struct kvm_core_move mv = m->want;
	int error = 0;

	mv.vm = vm->id;
	mv.fd = fd;
	m->tried++;
	progress(m, vm);
	if (ioctl(m->control, KVM_CORE_MOVE, &mv))
		error = errno;
	progress_end(m);
	/* It has ended meanwhile: nothing of it has to be moved any more. */
	if (m->all && (error == ENOENT || error == ESRCH) && !host_vm(vm->id, vm))
		return;
	if (!vm->id)
		host_vm(mv.vm, vm);
	/* Nothing was written back if the argument was refused as a whole. */
	mv.error = error;

	if (error == EALREADY) {
		m->here++;
	} else if (error) {
		m->failed++;
		if (!vm->id)
			warnx("descriptor %d of process %d: %s (%s)", m->fd, m->pid, mv.reason,
			      strerror(error));
		else
			warnx("VM %u (%s, pid %d): stage %s: %s (%s)", vm->id, vm->comm, vm->pid,
			      stage_name(&mv), *mv.reason ? mv.reason : "it was refused",
			      strerror(error));
	} else {
		m->moved++;
	}
	if (json_wanted)
		json_array_append_new(m->json, result_json(vm, &mv));
	else if (!error)
		result_text(m, vm, &mv);
}

static bool known(const struct vm *vms, size_t n, const struct vm *vm)
{
	for (; n; n--, vms++)
		if (vms->id == vm->id && vms->pid == vm->pid)
			return true;
	return false;
}

/* VMs that come while others are moved are moved too; each is asked once. */
static void move_all(struct moves *m)
{
	struct vm *vms, *asked = NULL;
	size_t i, n, before;

	do {
		before = m->total;
		n = host_vms(&vms);
		asked = reallocarray(asked, before + n + 1, sizeof(*asked));
		if (!asked)
			err(EXIT_NONE, NULL);
		for (i = 0; i < n; i++)
			if (!known(asked, before, &vms[i]))
				asked[m->total++] = vms[i];
		free(vms);
		for (i = before; i < m->total; i++)
			move_one(m, &asked[i], -1);
	} while (m->total > before);
	free(asked);
}

static void move_fd(struct moves *m)
{
	struct vm vm = { .id = 0 };
	int pidfd, fd;

	pidfd = syscall(SYS_pidfd_open, m->pid, 0);
	if (pidfd < 0)
		err(EXIT_NONE, "process %d", m->pid);
	fd = syscall(SYS_pidfd_getfd, pidfd, m->fd, 0);
	if (fd < 0)
		err(EXIT_NONE, "descriptor %d of process %d", m->fd, m->pid);
	m->total = 1;
	move_one(m, &vm, fd);
	close(fd);
	close(pidfd);
}

static void move_vm(struct moves *m)
{
	struct vm vm;

	if (!host_vm(m->vm, &vm))
		errx(EXIT_NONE, "there is no VM %u", m->vm);
	m->total = 1;
	move_one(m, &vm, -1);
}

static unsigned int parse_number(struct argp_state *state, const char *arg, const char *what,
				 unsigned int min, unsigned int max)
{
	unsigned long long n;
	char *end;

	errno = 0;
	n = strtoull(arg, &end, 10);
	if (errno || end == arg || *end || *arg < '0' || *arg > '9' || n < min || n > max)
		argp_error(state, "%s is a number from %u to %u, not '%s'", what, min, max, arg);
	return n;
}

static void instance_name(struct argp_state *state, char *to, const char *name)
{
	if (strlen(name) >= KVM_CORE_NAME_LEN)
		argp_error(state, "'%s' is too long for an instance's name", name);
	snprintf(to, KVM_CORE_NAME_LEN, "%s", name);
}

enum { OPT_TIMEOUT = 256, OPT_NO_POPULATE, OPT_PID, OPT_FD };

static error_t parse_move(int key, char *arg, struct argp_state *state)
{
	struct moves *m = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		break;
	case 'a':
		m->all = true;
		break;
	case 'd':
		m->want.deadline_us = parse_number(state, arg, "the deadline", 1,
						   KVM_CORE_MAX_DEADLINE_US);
		break;
	case OPT_TIMEOUT:
		m->want.timeout_ms = parse_number(state, arg, "the time limit", 1,
						  KVM_CORE_MAX_TIMEOUT_MS);
		break;
	case 'n':
		m->want.flags |= KVM_CORE_MOVE_DRY_RUN;
		break;
	case OPT_NO_POPULATE:
		m->want.flags |= KVM_CORE_MOVE_NO_POPULATE;
		break;
	case OPT_PID:
		m->pid = parse_number(state, arg, "a process", 1, INT_MAX);
		break;
	case OPT_FD:
		m->fd = parse_number(state, arg, "a descriptor", 0, INT_MAX);
		break;
	case ARGP_KEY_ARG:
		/* The last is the instance; before it comes a VM, or nothing. */
		if (*m->want.instance && !m->vm)
			m->vm = parse_number(state, m->want.instance, "a VM", 1, INT_MAX);
		else if (*m->want.instance)
			argp_error(state, "too many arguments");
		instance_name(state, m->want.instance, arg);
		break;
	case ARGP_KEY_END:
		if (!*m->want.instance)
			argp_error(state, "where to?");
		if ((m->pid && m->fd < 0) || (!m->pid && m->fd >= 0))
			argp_error(state, "--pid and --fd belong together");
		if (m->all + !!m->vm + !!m->pid != 1)
			argp_error(state, "one of VM, --all, or --pid with --fd");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static void print_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_INDENT(2));
	putchar('\n');
	json_decref(o);
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
		{ "all", 'a', NULL, 0, "All VMs of the host", 0 },
		{ "pid", OPT_PID, "PID", 0, "The VM that a descriptor of this process is", 0 },
		{ "fd", OPT_FD, "FD", 0, "Number of the descriptor in that process", 0 },
		{ "deadline", 'd', "US", 0,
		  "Stop vCPUs no longer than this, else leave the VM where it is (100000)", 0 },
		{ "timeout", OPT_TIMEOUT, "MS", 0, "Time limit for each VM (10000)", 0 },
		{ "dry-run", 'n', NULL, 0, "Set it up on the target, say whether that works", 0 },
		{ "no-populate", OPT_NO_POPULATE, NULL, 0, "Do not map memory ahead", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_move,
		.args_doc = "VM NAME\n--all NAME\n--pid=PID --fd=FD NAME",
		.doc = "Hands VMs over to the instance NAME. VM is a number of kvmctl status.",
		.children = common_options,
	};
	struct moves m = { .fd = -1 };

	argp_parse(&argp, argc, argv, 0, NULL, &m);
	m.control = host_control();
	if (!host_has_instance(m.want.instance))
		errx(EXIT_NONE, "%s: no such instance is loaded", m.want.instance);
	m.json = json_array();
	if (m.all)
		move_all(&m);
	else if (m.pid)
		move_fd(&m);
	else
		move_vm(&m);
	close(m.control);

	m.json = json_pack("{s:o, s:i, s:i, s:i}", "moves", m.json, "moved", m.moved,
			   "here", m.here, "failed", m.failed);
	if (json_wanted)
		print_json(m.json);
	else
		printf("%u %s, %u there already, %u failed\n", m.moved,
		       m.want.flags & KVM_CORE_MOVE_DRY_RUN ? "would move" : "moved", m.here,
		       m.failed);
	if (!m.failed)
		return 0;
	return m.moved + m.here ? EXIT_SOME : EXIT_NONE;
}

static error_t parse_default(int key, char *arg, struct argp_state *state)
{
	struct kvm_core_name *name = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		break;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "too many arguments");
		instance_name(state, name->name, arg);
		break;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which instance?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/**
 * move_default - kvmctl default
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int move_default(int argc, char **argv)
{
	static const struct argp argp = {
		.parser = parse_default,
		.args_doc = "NAME",
		.doc = "Has /dev/kvm open the instance NAME; with \"\" the one loaded last.",
		.children = common_options,
	};
	struct kvm_core_name name = { 0 };
	int fd;

	argp_parse(&argp, argc, argv, 0, NULL, &name);
	fd = host_control();
	if (ioctl(fd, KVM_CORE_SET_DEFAULT, &name)) {
		if (errno == ENODEV)
			errx(EXIT_NONE, "%s: no such instance is live", name.name);
		err(EXIT_NONE, "%s", name.name);
	}
	close(fd);
	if (json_wanted)
		print_json(json_pack("{s:s}", "default", name.name));
	return 0;
}

static error_t parse_drain(int key, char *arg, struct argp_state *state)
{
	struct kvm_core_drain *drain = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		break;
	case 'u':
		drain->flags |= KVM_CORE_DRAIN_UNDO;
		break;
	case ARGP_KEY_ARG:
		if (state->arg_num)
			argp_error(state, "too many arguments");
		instance_name(state, drain->name, arg);
		break;
	case ARGP_KEY_NO_ARGS:
		argp_error(state, "which instance?");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/**
 * move_drain - kvmctl drain
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int move_drain(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "undo", 'u', NULL, 0, "It takes VMs again", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse_drain,
		.args_doc = "NAME",
		.doc = "Has the instance NAME take no VMs any more; those that it has go on.",
		.children = common_options,
	};
	struct kvm_core_drain drain = { 0 };
	int fd;

	argp_parse(&argp, argc, argv, 0, NULL, &drain);
	fd = host_control();
	if (ioctl(fd, KVM_CORE_DRAIN, &drain)) {
		if (errno == ENODEV)
			errx(EXIT_NONE, "%s: no such instance is in service", drain.name);
		err(EXIT_NONE, "%s", drain.name);
	}
	close(fd);
	if (json_wanted)
		print_json(json_pack("{s:s, s:s}", "instance", drain.name, "state",
				     drain.flags & KVM_CORE_DRAIN_UNDO ? "live" : "draining"));
	return 0;
}
