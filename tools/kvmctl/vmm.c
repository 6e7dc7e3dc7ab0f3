// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl vmm: QEMUs that run are replaced under their guests. */
#include <err.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cpr.h"

/**
 * struct upgrades - what was asked for, and what came of it
 * @all:	every VM whose process is a QEMU that can be told what to do
 * @who:	else the process, or the name
 * @program:	to run instead; NULL is what stands now where the old one was
 * @dry:	only say what is missing
 * @force:	also one that has nothing new to get
 * @o:		how
 * @json:	array of results
 * @total:	to be upgraded
 * @tried:	of these, so many were
 * @upgraded:	these run in the new one, or could
 * @current:	these do already
 * @failed:	these stay
 * @rows:	of the table so far
 */
struct upgrades {
	bool all;
	const char *who;
	const char *program;
	bool dry;
	bool force;
	struct cpr_options o;
	json_t *json;
	size_t total;
	size_t tried;
	unsigned int upgraded;
	unsigned int current;
	unsigned int failed;
	unsigned int rows;
};

/* The program is the one that runs, and on the instance that /dev/kvm opens. */
static bool is_current(const struct cpr *c)
{
	struct kvm_core_instance_info info;
	char exe[64], path[PATH_MAX + 32];
	struct stat a, b;
	int control = host_control(), i;
	bool here = false;

	for (i = 0;; i++) {
		info = (struct kvm_core_instance_info){ .index = i };
		if (ioctl(control, KVM_CORE_LIST, &info))
			break;
		here |= info.flags & KVM_CORE_INSTANCE_DEFAULT &&
			!strcmp(info.name, c->vm->instance);
	}
	close(control);
	snprintf(exe, sizeof(exe), "/proc/%d/exe", c->q.pid);
	snprintf(path, sizeof(path), "/proc/%d/root%s", c->q.pid, c->program);
	return here && !stat(exe, &a) && !stat(path, &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

/* Any of its QMP sockets that is free. */
static bool connect_qmp(struct cpr *c, char **paths)
{
	char last[sizeof(c->old.error)] = "it has no QMP socket: -qmp unix:PATH,server=on,wait=off";
	size_t i;

	for (i = 0; paths && paths[i]; i++) {
		if (qmp_open(&c->old, c->q.pid, paths[i], ANSWER_MS / 4)) {
			c->path = paths[i];
			return true;
		}
		snprintf(last, sizeof(last), "%s", c->old.error);
	}
	cpr_because(c, "%s", last);
	return false;
}

static void result_json(struct upgrades *u, struct cpr *c)
{
	json_t *why = json_array(), *o;
	char *s, *rest = c->why;

	while (*c->why && (s = strsep(&rest, "\n")))
		json_array_append_new(why, json_string(s));
	o = json_pack("{s:i, s:i, s:s, s:s, s:s, s:i, s:s, s:s, s:I, s:o}",
		      "vm", c->vm->id, "pid", c->q.pid, "name", c->q.name,
		      "from", c->vm->instance, "version", c->version[0],
		      "new_pid", c->new_pid, "to", c->to, "new_version", c->version[1],
		      "stopped_us", (json_int_t)c->stopped_us, "reasons", why);
	json_array_append_new(u->json, o);
}

static void result_text(struct upgrades *u, struct cpr *c)
{
	if (!u->rows++)
		printf("%4s %-15s %8s %-14s %-8s %8s %-14s %-8s %10s\n", "VM", "NAME", "PID",
		       "INSTANCE", "QEMU", "NEW PID", "INSTANCE", "QEMU", "STOPPED ms");
	printf("%4u %-15s %8d %-14s %-8s ", c->vm->id, *c->q.name ? c->q.name : c->vm->comm,
	       c->vm->pid, c->vm->instance, c->version[0]);
	if (u->dry)
		printf("%8s\n", "could be");
	else
		printf("%8d %-14s %-8s %10.1f\n", c->new_pid, c->to, c->version[1],
		       c->stopped_us / 1000.0);
	fflush(stdout);
}

static void progress(const struct upgrades *u, const struct cpr *c)
{
	if (!json_wanted && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%zu of %zu: VM %u (%s, pid %d)\r", u->tried, u->total,
			c->vm->id, *c->q.name ? c->q.name : c->vm->comm, c->vm->pid);
}

static void result(struct upgrades *u, struct cpr *c, bool ok, bool current)
{
	char *s, *rest = c->why;

	if (!json_wanted && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	u->upgraded += ok;
	u->current += current;
	u->failed += !ok && !current;
	if (json_wanted)
		result_json(u, c);
	else if (ok)
		result_text(u, c);
	while (!ok && !current && (s = strsep(&rest, "\n")))
		warnx("VM %u (%s, pid %d): %s", c->vm->id,
		      *c->q.name ? c->q.name : c->vm->comm, c->vm->pid, s);
}

/* Nothing that ends this program may come between the old QEMU and the new one. */
static void hold_signals(bool on)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(on ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static void upgrade(struct upgrades *u, const struct vm *vm)
{
	struct cpr c = { .o = &u->o, .vm = vm, .old.fd = -1 };
	bool ok = false, current = false;
	const char *why;
	char **paths;
	size_t i;

	u->tried++;
	why = qemu_open(&c.q, vm->pid);
	if (why) {
		c.q.pid = vm->pid;
		cpr_because(&c, "%s", why);
		result(u, &c, false, false);
		return;
	}
	progress(u, &c);
	c.until = cpr_now_ms() + u->o.timeout_ms;
	c.program = u->program ? u->program : c.q.exe;
	paths = qemu_qmp_paths(&c.q);
	hold_signals(true);
	if (!u->force && is_current(&c)) {
		current = true;
	} else if (connect_qmp(&c, paths)) {
		cpr_version_of(&c.old, c.version[0], sizeof(c.version[0]));
		cpr_check(&c);
		ok = !*c.why && (u->dry || cpr_run(&c));
		qmp_close(&c.old);
	}
	hold_signals(false);
	result(u, &c, ok, current);
	for (i = 0; paths && paths[i]; i++)
		free(paths[i]);
	free(paths);
	qemu_close(&c.q);
}

/* By the process's number, or by the name that QEMU was given. */
static bool is_wanted(const struct upgrades *u, const struct vm *vm)
{
	char pid[16];
	struct qemu q;
	bool hit;

	if (!vm->pid)
		return false;
	snprintf(pid, sizeof(pid), "%d", vm->pid);
	if (u->all || !strcmp(pid, u->who))
		return true;
	if (qemu_open(&q, vm->pid))
		return false;
	hit = !strcmp(q.name, u->who);
	qemu_close(&q);
	return hit;
}

/* A process that has several VMs. */
static bool known(const struct vm *vms, size_t n, int pid)
{
	while (n--)
		if (vms[n].pid == pid)
			return true;
	return false;
}

enum { OPT_QEMU = 256, OPT_MODE, OPT_TIMEOUT, OPT_FORCE };

static unsigned int parse_time(struct argp_state *state, const char *arg, const char *what,
			       unsigned int max)
{
	unsigned long n;
	char *end;

	n = strtoul(arg, &end, 10);
	if (*end || *arg < '0' || *arg > '9' || !n || n > max)
		argp_error(state, "%s is a number from 1 to %u, not '%s'", what, max, arg);
	return n;
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct upgrades *u = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = NULL;
		break;
	case 'a':
		u->all = true;
		break;
	case 'n':
		u->dry = true;
		break;
	case OPT_FORCE:
		u->force = true;
		break;
	case OPT_QEMU:
		if (*arg != '/')
			argp_error(state, "'%s' is no path from the root", arg);
		u->program = arg;
		break;
	case OPT_MODE:
		if (strcmp(arg, "exec") && strcmp(arg, "transfer"))
			argp_error(state, "the mode is transfer or exec, not '%s'", arg);
		u->o.exec = *arg == 'e';
		break;
	case OPT_TIMEOUT:
		u->o.timeout_ms = parse_time(state, arg, "the time limit",
					     KVM_CORE_MAX_TIMEOUT_MS);
		break;
	case 'd':
		u->o.deadline_us = parse_time(state, arg, "the deadline",
					      KVM_CORE_MAX_DEADLINE_US);
		break;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0) {
			if (strcmp(arg, "upgrade"))
				argp_error(state, "no subcommand '%s'", arg);
		} else if (u->who) {
			argp_error(state, "too many arguments");
		} else {
			u->who = arg;
		}
		break;
	case ARGP_KEY_END:
		if (!state->arg_num)
			argp_usage(state);
		if (u->all + !!u->who != 1)
			argp_error(state, "one of PID, NAME, or --all");
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

/**
 * vmm_main - kvmctl vmm
 * @argc: of the subcommand
 * @argv: of the subcommand
 *
 * Return: exit status.
 */
int vmm_main(int argc, char **argv)
{
	static const struct argp_option options[] = {
		{ "all", 'a', NULL, 0, "All VMs of the host", 0 },
		{ "qemu", OPT_QEMU, "PATH", 0,
		  "Run this program; without it what stands now where the old one was", 0 },
		{ "mode", OPT_MODE, "MODE", 0,
		  "transfer: in a new process; exec: in the same, with no way back (transfer)", 0 },
		{ "dry-run", 'n', NULL, 0, "Say what is missing, and do nothing", 0 },
		{ "force", OPT_FORCE, NULL, 0, "Also one with nothing new to get", 0 },
		{ "deadline", 'd', "US", 0,
		  "transfer: stop the guest no longer than this, else go back (5000000)",
		  0 },
		{ "timeout", OPT_TIMEOUT, "MS", 0, "Time limit for each VM (60000)", 0 },
		{ 0 }
	};
	static const struct argp argp = {
		.options = options,
		.parser = parse,
		.args_doc = "upgrade PID|NAME\nupgrade --all",
		.doc = "Replaces a running QEMU under its guest, by QEMU's CPR.\n"
		       "The new one opens /dev/kvm: the guest goes to the default instance, too.\n"
		       "PID is of kvmctl status, NAME is QEMU's -name.",
		.children = common_options,
	};
	struct upgrades u = { .o = { .timeout_ms = 60000, .deadline_us = 5000000 } };
	struct vm *vms;
	size_t i, n;

	argp_parse(&argp, argc, argv, 0, NULL, &u);
	u.json = json_array();
	n = host_vms(&vms);
	for (i = 0; i < n; i++)
		if (is_wanted(&u, &vms[i]) && !known(vms, u.total, vms[i].pid))
			vms[u.total++] = vms[i];
	if (!u.all && !u.total)
		errx(EXIT_NONE, "there is no VM of '%s'", u.who);
	if (!u.all && u.total > 1)
		errx(EXIT_NONE, "%zu VMs have the name '%s': name a process", u.total, u.who);
	for (i = 0; i < u.total; i++)
		upgrade(&u, &vms[i]);
	free(vms);

	u.json = json_pack("{s:o, s:i, s:i, s:i}", "upgrades", u.json, "upgraded", u.upgraded,
			   "current", u.current, "failed", u.failed);
	if (json_wanted) {
		json_dumpf(u.json, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		printf("%u %s, %u there already, %u failed\n", u.upgraded,
		       u.dry ? "could be upgraded" : "upgraded", u.current, u.failed);
	}
	json_decref(u.json);
	if (!u.failed)
		return 0;
	return u.upgraded + u.current ? EXIT_SOME : EXIT_NONE;
}
