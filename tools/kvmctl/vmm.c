// SPDX-License-Identifier: GPL-2.0-only
/* kvmctl vmm: QEMUs that run are replaced under their guests. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cpr.h"
#include "libvirt.h"

/* At one time, at most. */
#define MAX_JOBS	64

/* What comes of one. */
#define UPGRADED	"upgraded"	/* with -n: it could be */
#define CURRENT		"current"
#define FAILED		"failed"

/**
 * struct upgrades - what was asked for, and what came of it
 * @list:	nothing but a list is
 * @all:	every VM whose process is a QEMU that can be told what to do
 * @replaced:	of these, whose program's file is another one now
 * @who:	else the process, or the name
 * @program:	to run instead; NULL is what stands now where the old one was
 * @dry:	only say what is missing
 * @force:	also one that has nothing new to get
 * @jobs:	so many at a time
 * @o:		how
 * @daemon:	libvirt's, if it was stopped
 * @waits:	for each VM, whether it is a domain of it
 * @why:	why the daemon was not stopped
 * @away_ms:	how long it was not there
 * @unknown:	domains that it has not found again, or it itself
 * @json:	array of results
 * @total:	to be upgraded
 * @tried:	of these, so many were begun
 * @upgraded:	these run in the new one, or could
 * @current:	these do already
 * @failed:	these stay
 * @rows:	of the table so far
 */
struct upgrades {
	bool list;
	bool all;
	bool replaced;
	const char *who;
	const char *program;
	bool dry;
	bool force;
	unsigned int jobs;
	struct cpr_options o;
	struct libvirt daemon;
	bool *waits;
	char why[512];
	long long away_ms;
	unsigned int unknown;
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

/* What came of one, as --json shows it. */
static json_t *result(const struct cpr *c, const char *what)
{
	json_t *why = json_array();
	char text[sizeof(c->why)];
	char *s, *rest = text;

	snprintf(text, sizeof(text), "%s", c->why);
	while (*c->why && (s = strsep(&rest, "\n")))
		json_array_append_new(why, json_string(s));
	return json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:i, s:s, s:s, s:I, s:o}",
			 "vm", c->vm->id, "pid", c->q.pid,
			 "name", *c->q.name ? c->q.name : c->vm->comm,
			 "result", what, "from", c->vm->instance, "version", c->version[0],
			 "new_pid", c->new_pid, "to", c->to, "new_version", c->version[1],
			 "stopped_us", (json_int_t)c->stopped_us, "reasons", why);
}

static const char *text_of(const json_t *r, const char *key)
{
	const char *s = json_string_value(json_object_get(r, key));

	return s ? s : "";
}

static long long number_of(const json_t *r, const char *key)
{
	return json_integer_value(json_object_get(r, key));
}

static void print_row(struct upgrades *u, const json_t *r)
{
	if (!u->rows++)
		printf("%4s %-15s %8s %-14s %-8s %8s %-14s %-8s %10s\n", "VM", "NAME", "PID",
		       "INSTANCE", "QEMU", "NEW PID", "INSTANCE", "QEMU", "STOPPED ms");
	printf("%4lld %-15s %8lld %-14s %-8s ", number_of(r, "vm"), text_of(r, "name"),
	       number_of(r, "pid"), text_of(r, "from"), text_of(r, "version"));
	if (u->dry)
		printf("%8s\n", "could be");
	else
		printf("%8lld %-14s %-8s %10.1f\n", number_of(r, "new_pid"), text_of(r, "to"),
		       text_of(r, "new_version"), number_of(r, "stopped_us") / 1000.0);
	fflush(stdout);
}

/* Takes @r over. */
static void tell(struct upgrades *u, json_t *r)
{
	const char *what = text_of(r, "result");
	json_t *why;
	size_t i;

	u->upgraded += !strcmp(what, UPGRADED);
	u->current += !strcmp(what, CURRENT);
	u->failed += !strcmp(what, FAILED);
	json_array_append_new(u->json, r);
	if (json_wanted)
		return;
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (!strcmp(what, UPGRADED))
		print_row(u, r);
	if (!strcmp(what, FAILED))
		json_array_foreach(json_object_get(r, "reasons"), i, why)
			warnx("VM %lld (%s, pid %lld): %s", number_of(r, "vm"),
			      text_of(r, "name"), number_of(r, "pid"), json_string_value(why));
}

static void progress(const struct upgrades *u, size_t running)
{
	if (!json_wanted && isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%zu of %zu, %zu at a time", u->tried - running, u->total,
			running);
}

/* The daemon of libvirt that holds one of its QMP sockets, which becomes @c->path. */
static const char *held_by(struct cpr *c, char **paths)
{
	const char *unit = NULL;
	size_t i;

	for (i = 0; paths && paths[i] && !unit; i++) {
		unit = libvirt_holds(&c->q, paths[i]);
		c->path = paths[i];
	}
	return unit;
}

static void free_paths(char **paths)
{
	size_t i;

	for (i = 0; paths && paths[i]; i++)
		free(paths[i]);
	free(paths);
}

static json_t *upgrade(const struct upgrades *u, const struct vm *vm)
{
	struct cpr c = { .o = &u->o, .vm = vm, .old.fd = -1 };
	const char *why, *unit = NULL, *what = FAILED;
	char **paths;
	json_t *r;

	why = qemu_open(&c.q, vm->pid);
	if (why) {
		c.q.pid = vm->pid;
		cpr_because(&c, "%s", why);
		return result(&c, FAILED);
	}
	c.until = cpr_now_ms() + u->o.timeout_ms;
	c.program = u->program ? u->program : c.q.exe;
	paths = qemu_qmp_paths(&c.q);
	if (u->force || !is_current(&c))
		unit = held_by(&c, paths);
	else
		what = CURRENT;
	if (unit) {
		libvirt_check(&c);
		if (!*c.why && !u->dry)
			cpr_because(&c, "%s holds its monitor: %s", unit,
				    *u->why ? u->why : "it was not stopped");
		if (!*c.why)
			what = UPGRADED;
	} else if (strcmp(what, CURRENT) && connect_qmp(&c, paths)) {
		cpr_version_of(&c.old, c.version[0], sizeof(c.version[0]));
		cpr_check(&c);
		if (!*c.why && (u->dry || cpr_run(&c)))
			what = UPGRADED;
		qmp_close(&c.old);
	}
	if (*c.why && c.path && libvirt_has(c.path))
		libvirt_hint(&c);
	r = result(&c, what);
	free_paths(paths);
	qemu_close(&c.q);
	return r;
}

/* One that is being upgraded, by a process of its own: what ends that ends no other. */
struct job {
	const struct vm *vm;
	int pid;
	int fd;
};

static json_t *failed(const struct vm *vm, const char *why)
{
	struct cpr c = { .vm = vm, .q.pid = vm->pid };

	cpr_because(&c, "%s", why);
	return result(&c, FAILED);
}

/* False, and it is told of, when there is no process for it. Others may be under way. */
static bool job_start(struct upgrades *u, struct job *job, const struct vm *vm)
{
	json_t *r;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC)) {
		tell(u, failed(vm, strerror(errno)));
		return false;
	}
	job->vm = vm;
	job->fd = fds[0];
	job->pid = fork();
	if (job->pid < 0) {
		tell(u, failed(vm, strerror(errno)));
		close(fds[0]);
	}
	if (job->pid)
		close(fds[1]);
	if (job->pid)
		return job->pid > 0;
	r = upgrade(u, vm);
	_exit(json_dumpfd(r, fds[1], JSON_COMPACT) ? 1 : 0);
}

/* Waits for one, which the last one takes the place of. */
static void job_end(struct upgrades *u, struct job *jobs, size_t *running)
{
	struct pollfd p[MAX_JOBS];
	json_t *r;
	size_t i;

	for (i = 0; i < *running; i++)
		p[i] = (struct pollfd){ .fd = jobs[i].fd, .events = POLLIN };
	while (poll(p, *running, -1) < 0)
		;
	for (i = 0; !p[i].revents; i++)
		;
	/* To the end of it, and not of the pipe: another may have that. */
	r = json_loadfd(jobs[i].fd, JSON_DISABLE_EOF_CHECK, NULL);
	close(jobs[i].fd);
	waitpid(jobs[i].pid, NULL, 0);
	if (!r)
		r = failed(jobs[i].vm, "kvmctl's process for it has ended: look which QEMU runs");
	tell(u, r);
	jobs[i] = jobs[--*running];
}

/* Those that run when a signal comes are waited for, and told of. */
static void upgrade_all(struct upgrades *u, const struct vm *vms)
{
	struct job jobs[MAX_JOBS];
	size_t running = 0;

	while (u->tried < u->total || running) {
		bool more = u->tried < u->total && !signals_pending();

		if (!more && !running)
			break;
		if (more && running < u->jobs) {
			running += job_start(u, &jobs[running], &vms[u->tried++]);
			progress(u, running);
		} else {
			job_end(u, jobs, &running);
		}
	}
	if (!json_wanted && u->tried < u->total)
		warnx("%zu of %zu were not tried", u->total - u->tried, u->total);
}

/* The daemon that has to let go of a VM, which lacks nothing as far as can be seen before. */
static const char *in_the_way(const struct upgrades *u, const struct vm *vm)
{
	struct cpr c = { .o = &u->o, .vm = vm };
	const char *unit = NULL, *lost = NULL;
	char **paths;

	if (qemu_open(&c.q, vm->pid))
		return NULL;
	c.program = u->program ? u->program : c.q.exe;
	paths = qemu_qmp_paths(&c.q);
	if (u->force || !is_current(&c))
		unit = held_by(&c, paths);
	if (unit)
		libvirt_check(&c);
	if (unit && !*c.why)
		lost = libvirt_loses(&c.q);
	if (lost)
		warnx("%s: %s", c.q.name, lost);
	free_paths(paths);
	qemu_close(&c.q);
	return *c.why ? NULL : unit;
}

/* One daemon at most is libvirt's on a host. */
static void stop_daemon(struct upgrades *u, const struct vm *vms)
{
	const char *unit = NULL, *its;
	size_t i;

	u->waits = calloc(u->total + 1, sizeof(*u->waits));
	if (!u->waits)
		die_errno(NULL);
	for (i = 0; i < u->total && !u->dry; i++) {
		its = in_the_way(u, &vms[i]);
		u->waits[i] = its;
		unit = its ? its : unit;
	}
	if (!unit)
		return;
	if (!json_wanted)
		warnx("%s is stopped meanwhile; its domains go on", unit);
	u->away_ms = cpr_now_ms();
	libvirt_stop(&u->daemon, unit, u->why, sizeof(u->why));
}

static void unknown(struct upgrades *u, const char *name, const char *why)
{
	u->unknown++;
	warnx("%s: %s", name, why);
}

/* Those that were upgraded, and those that were not. */
static void start_daemon(struct upgrades *u, const struct vm *vms)
{
	char why[512], **paths;
	struct qemu q;
	size_t i;

	if (!*u->daemon.unit)
		return;
	if (!libvirt_start(&u->daemon, why, sizeof(why))) {
		unknown(u, "libvirt's daemon does not run", why);
		return;
	}
	for (i = 0; i < u->total; i++) {
		if (!u->waits[i] || qemu_open(&q, vms[i].pid))
			continue;
		paths = qemu_qmp_paths(&q);
		if (paths && *paths &&
		    !libvirt_knows(&u->daemon, &q, *paths, why, sizeof(why)))
			unknown(u, q.name, why);
		free_paths(paths);
		qemu_close(&q);
	}
	u->away_ms = cpr_now_ms() - u->away_ms;
	if (!json_wanted && !u->unknown)
		warnx("%s runs again, and knows them; it was away for %.1f s", u->daemon.unit,
		      u->away_ms / 1000.0);
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
	if (u->all)
		return !u->replaced || qemu_replaced(vm->pid);
	if (!strcmp(pid, u->who))
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

enum { OPT_QEMU = 256, OPT_MODE, OPT_TIMEOUT, OPT_FORCE, OPT_REPLACED };

static unsigned int parse_number(struct argp_state *state, const char *arg, const char *what,
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
	case 'j':
		u->jobs = parse_number(state, arg, "the number of jobs", MAX_JOBS);
		break;
	case OPT_FORCE:
		u->force = true;
		break;
	case OPT_REPLACED:
		u->replaced = true;
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
		u->o.timeout_ms = parse_number(state, arg, "the time limit",
					       KVM_CORE_MAX_TIMEOUT_MS);
		break;
	case 'd':
		u->o.deadline_us = parse_number(state, arg, "the deadline",
						KVM_CORE_MAX_DEADLINE_US);
		break;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0) {
			u->list = !strcmp(arg, "list");
			if (!u->list && strcmp(arg, "upgrade"))
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
		if (u->list && (u->all || u->who))
			argp_error(state, "a list is of all VMs, or with --replaced of some");
		if (!u->list && u->all + !!u->who != 1)
			argp_error(state, "one of PID, NAME, or --all");
		if (!u->list && u->replaced && !u->all)
			argp_error(state, "--replaced goes with --all");
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
		{ "replaced", OPT_REPLACED, NULL, 0,
		  "Only those whose program's file has been replaced", 0 },
		{ "qemu", OPT_QEMU, "PATH", 0,
		  "Run this program; without it what stands now where the old one was", 0 },
		{ "mode", OPT_MODE, "MODE", 0,
		  "transfer: in a new process; exec: in the same, with no way back (transfer)", 0 },
		{ "jobs", 'j', "N", 0,
		  "With --all, so many at a time (one for each CPU, at most 4)", 0 },
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
		.args_doc = "upgrade PID|NAME\nupgrade --all\nlist",
		.doc = "Replaces a running QEMU under its guest, by QEMU's CPR.\n"
		       "The new one opens /dev/kvm: the guest goes to the default instance, too.\n"
		       "PID is of kvmctl status, NAME is QEMU's -name. list says what runs.",
		.children = common_options,
	};
	struct upgrades u = { .o = { .timeout_ms = 60000, .deadline_us = 5000000 } };
	struct vm *vms;
	size_t i, n;
	long cpus;

	cpus = sysconf(_SC_NPROCESSORS_ONLN);
	u.jobs = cpus < 1 ? 1 : cpus > 4 ? 4 : cpus;
	argp_parse(&argp, argc, argv, 0, NULL, &u);
	if (u.list)
		return vmm_list(u.replaced);
	u.json = json_array();
	n = host_vms(&vms);
	for (i = 0; i < n; i++)
		if (is_wanted(&u, &vms[i]) && !known(vms, u.total, vms[i].pid))
			vms[u.total++] = vms[i];
	if (!u.all && !u.total)
		die("there is no VM of '%s'", u.who);
	if (!u.all && u.total > 1)
		die("%zu VMs have the name '%s': name a process", u.total, u.who);
	/* Nothing that ends this program may come between the old QEMU and the new one. */
	signals_hold();
	stop_daemon(&u, vms);
	upgrade_all(&u, vms);
	start_daemon(&u, vms);
	free(u.waits);
	free(vms);

	u.json = json_pack("{s:o, s:i, s:i, s:i}", "upgrades", u.json, "upgraded", u.upgraded,
			   "current", u.current, "failed", u.failed);
	if (*u.daemon.unit)
		json_object_set_new(u.json, "daemon",
				    json_pack("{s:s, s:I, s:i}", "unit", u.daemon.unit, "away_ms",
					      (json_int_t)u.away_ms, "unknown", u.unknown));
	if (json_wanted) {
		json_dumpf(u.json, stdout, JSON_INDENT(2));
		putchar('\n');
	} else {
		printf("%u %s, %u there already, %u failed\n", u.upgraded,
		       u.dry ? "could be upgraded" : "upgraded", u.current, u.failed);
	}
	json_decref(u.json);
	fflush(stdout);
	signals_release();
	if (!u.failed && !u.unknown)
		return 0;
	return u.upgraded + u.current ? EXIT_SOME : EXIT_NONE;
}
