// SPDX-License-Identifier: GPL-2.0-only
/* How a QEMU replaces itself by another, in a new process or in its own. */
#include <err.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpr.h"

/* Between two looks at what goes on. */
#define LOOK_US		2000

/* For a QEMU that has failed to end. */
#define LAST_WORDS_MS	500

/**
 * cpr_now_ms - time in ms of CLOCK_MONOTONIC
 */
long long cpr_now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static long long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

/**
 * cpr_because - one more reason why it failed
 * @c: of which QEMU
 * @format: as of printf(); what is put in has to be fit to be printed
 */
void cpr_because(struct cpr *c, const char *format, ...)
{
	size_t at = strlen(c->why);
	va_list ap;

	if (at && at + 1 < sizeof(c->why))
		c->why[at++] = '\n';
	va_start(ap, format);
	vsnprintf(c->why + at, sizeof(c->why) - at, format, ap);
	va_end(ap);
}

/**
 * cpr_status_of - what a QEMU is, in the words of its QMP
 * @q: connection to it
 * @to: set to that, "" if it does not say
 * @size: of @to
 */
void cpr_status_of(struct qmp *q, char *to, size_t size)
{
	json_t *r = qmp_call(q, "query-status", NULL, ANSWER_MS);
	const char *s = json_string_value(json_object_get(r, "status"));

	snprintf(to, size, "%s", s ? s : "");
	json_decref(r);
}

/**
 * cpr_status_is - is a QEMU in a status?
 * @q: connection to it
 * @want: in the words of its QMP
 */
bool cpr_status_is(struct qmp *q, const char *want)
{
	char is[32];

	cpr_status_of(q, is, sizeof(is));
	return !strcmp(is, want);
}

/**
 * cpr_version_of - the version of a QEMU
 * @q: connection to it
 * @to: set to it
 * @size: of @to
 */
void cpr_version_of(struct qmp *q, char *to, size_t size)
{
	json_t *r = qmp_call(q, "query-version", NULL, ANSWER_MS);
	int major, minor, micro;

	if (json_unpack(r, "{s:{s:i, s:i, s:i}}", "qemu", "major", &major, "minor", &minor,
			"micro", &micro))
		snprintf(to, size, "?");
	else
		snprintf(to, size, "%d.%d.%d", major, minor, micro);
	json_decref(r);
}

/**
 * cpr_set_mode - how the old QEMU migrates
 * @c: of which QEMU
 * @mode: normal, cpr-transfer or cpr-exec
 * @command: for the last, taken over; else NULL
 *
 * Return: whether it can; else the connection's error.
 */
bool cpr_set_mode(struct cpr *c, const char *mode, json_t *command)
{
	json_t *o = json_pack("{s:s}", "mode", mode);

	if (command)
		json_object_set_new(o, "cpr-exec-command", command);
	return qmp_do(&c->old, "migrate-set-parameters", o, ANSWER_MS);
}

/* Those that are on, as they are set. */
static bool find_capabilities(struct cpr *c)
{
	json_t *r = qmp_call(&c->old, "query-migrate-capabilities", NULL, ANSWER_MS), *o;
	size_t i;

	c->capabilities = json_array();
	json_array_foreach(r, i, o)
		if (json_is_true(json_object_get(o, "state")))
			json_array_append(c->capabilities, o);
	json_decref(r);
	return r;
}

static bool set_return_path(struct cpr *c, bool on)
{
	json_t *o = json_pack("{s:[{s:s, s:b}]}", "capabilities", "capability", "return-path",
			      "state", on);

	return qmp_do(&c->old, "migrate-set-capabilities", o, ANSWER_MS);
}

/*
 * Has the old QEMU wait for the new one to say that it has loaded all. Otherwise it is done
 * when all is sent; with a VFIO device it closes its VM then, and no way goes back.
 */
static bool want_answer(struct cpr *c)
{
	json_t *r = qmp_call(&c->old, "query-migrate-capabilities", NULL, ANSWER_MS), *o;
	bool waits = false, known = r;
	const char *name;
	size_t i;

	json_array_foreach(r, i, o) {
		name = json_string_value(json_object_get(o, "capability"));
		if (name && !strcmp(name, "return-path"))
			waits = json_is_true(json_object_get(o, "state"));
	}
	json_decref(r);
	if (!known || waits)
		return known;
	c->asked = set_return_path(c, true);
	return c->asked;
}

/*
 * The command line without what belongs to its start, and room for @more strings. A guest that
 * comes in runs if it did before, without -S.
 */
static char **common_args(const struct qemu *q, const char *program, size_t more, size_t *count)
{
	char **argv = calloc(q->argc + more + 2, sizeof(*argv));
	size_t i, n = 0;
	const char *s;

	if (!argv)
		return NULL;
	argv[n++] = (char *)program;
	for (i = 1; i < q->argc; i++) {
		s = q->argv[i];
		s += *s == '-' ? s[1] == '-' ? 2 : 1 : 0;
		if (s != q->argv[i] && (!strcmp(s, "daemonize") || !strcmp(s, "S")))
			continue;
		if (s != q->argv[i] && (!strcmp(s, "incoming") || !strcmp(s, "loadvm")) &&
		    i + 1 < q->argc) {
			i++;
			continue;
		}
		argv[n++] = q->argv[i];
	}
	*count = n;
	return argv;
}

static json_t *channel(const char *type, const char *dir, const char *name)
{
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return json_pack("{s:s, s:{s:s, s:s, s:s}}", "channel-type", type, "addr", "transport",
			 "socket", "type", "unix", "path", path);
}

/* Stopped until it is told: a guest that has not run can go back. */
static bool transfer_args(char ***argv, const struct qemu *q, const char *program,
			  const char *dir)
{
	static const char * const names[] = { "cpr", "main" };
	char **v;
	size_t n, i;
	json_t *o;

	v = common_args(q, program, 5, &n);
	if (!v)
		return false;
	for (i = 0; i < 2; i++) {
		o = channel(names[i], dir, names[i]);
		v[n++] = "-incoming";
		v[n] = json_dumps(o, JSON_COMPACT);
		json_decref(o);
		if (!v[n++])
			return false;
	}
	v[n++] = "-S";
	*argv = v;
	return true;
}

static json_t *exec_args(const struct qemu *q, const char *program, const char *dir)
{
	char incoming[1024], **argv;
	json_t *list = json_array();
	size_t n, i;

	snprintf(incoming, sizeof(incoming), "file:%s/state", dir);
	argv = common_args(q, program, 2, &n);
	if (!argv)
		die_errno(NULL);
	argv[n++] = "-incoming";
	argv[n++] = incoming;
	for (i = 0; i < n; i++)
		json_array_append_new(list, json_string(argv[i]));
	free(argv);
	return list;
}

/* Of a migration, in QEMU's words; and what it says of a failure. */
struct progress {
	char status[32];
	char desc[512];
};

static bool migration(struct qmp *q, struct progress *p, int ms)
{
	json_t *r = qmp_call(q, "query-migrate", NULL, ms);
	const char *s;

	if (!r)
		return false;
	s = json_string_value(json_object_get(r, "status"));
	snprintf(p->status, sizeof(p->status), "%s", s ? s : "");
	s = json_string_value(json_object_get(r, "error-desc"));
	text_escape(p->desc, sizeof(p->desc), s ? s : "", false);
	json_decref(r);
	return true;
}

static bool has_failed(const struct progress *p)
{
	return !strcmp(p->status, "failed") || !strcmp(p->status, "cancelled");
}

static bool late(struct cpr *c)
{
	if (cpr_now_ms() < c->until)
		return false;
	cpr_because(c, "it was not done within %u ms", c->o->timeout_ms);
	return true;
}

static bool stands_still(struct cpr *c)
{
	if (!c->ran || !c->old.stopped_us ||
	    now_us() - c->old.stopped_us < c->o->deadline_us)
		return false;
	cpr_because(c, "the guest stood still for longer than %u us", c->o->deadline_us);
	return true;
}

/* For an answer: of what it has for all, and while the guest stands still of the deadline. */
static int left_ms(const struct cpr *c)
{
	long long left = c->until - cpr_now_ms(), still;

	if (c->ran && c->old.stopped_us) {
		still = (c->o->deadline_us - (now_us() - c->old.stopped_us)) / 1000;
		left = still < left ? still : left;
	} else if (left > c->o->deadline_us / 1000) {
		/* It may stand still already. */
		left = c->o->deadline_us / 1000;
	}
	return left > 1 ? left : 1;
}

/* Where the VM of a process is, if it has one; kvm-core knows a process by its number. */
static bool has_vm(int pid, char instance[KVM_CORE_NAME_LEN])
{
	struct vm *vms;
	size_t i, n = host_vms(&vms);
	bool found = false;

	for (i = 0; i < n && !found; i++) {
		found = vms[i].pid == pid;
		if (found)
			snprintf(instance, KVM_CORE_NAME_LEN, "%s", vms[i].instance);
	}
	free(vms);
	return found;
}

/* Whatever happened to the new one: the guest goes on in the old one. */
static void go_back(struct cpr *c)
{
	long long until = cpr_now_ms() + ANSWER_MS;
	struct progress p = { .status = "" };
	char instance[KVM_CORE_NAME_LEN];

	qmp_do(&c->old, "migrate_cancel", NULL, ANSWER_MS);
	while (migration(&c->old, &p, ANSWER_MS) && *p.status && strcmp(p.status, "completed") &&
	       !has_failed(&p) && cpr_now_ms() < until)
		usleep(LOOK_US);
	if (*p.desc)
		cpr_because(c, "%s", p.desc);
	cpr_set_mode(c, "normal", NULL);
	if (c->asked)
		set_return_path(c, false);
	/* One that is done says that its guest may go on, and crashes when it is told to. */
	if (!c->old.ended && !has_vm(c->q.pid, instance)) {
		cpr_because(c, "and the old one (process %d) has closed its VM", c->q.pid);
		return;
	}
	if (c->ran && !cpr_status_is(&c->old, "running")) {
		qmp_do(&c->old, "cont", NULL, ANSWER_MS);
		if (!cpr_status_is(&c->old, "running") && !c->old.ended)
			cpr_because(c, "and the old one (process %d) does not go on: %s",
				    c->q.pid, *c->old.error ? c->old.error : "no reason given");
	}
}

/* How long the guest did not run, by QEMU's clock, which is this program's. */
static void measure(struct cpr *c, struct qmp *new)
{
	long long end = new->resumed_us ? new->resumed_us : now_us();

	if (c->ran && c->old.stopped_us)
		c->stopped_us = end > c->old.stopped_us ? end - c->old.stopped_us : 0;
}

/*
 * What a client of the old one, or who manages it, had set and believes to be so: capabilities of
 * migration, such as events, and in the same process where its threads run.
 */
static bool dress(struct cpr *c, struct qmp *new)
{
	const char *why = NULL;

	if (json_array_size(c->capabilities) &&
	    !qmp_do(new, "migrate-set-capabilities",
		    json_pack("{s:O}", "capabilities", c->capabilities), ANSWER_MS))
		why = new->error;
	if (!why && c->o->exec)
		why = threads_put(&c->threads, new, c->new_pid);
	if (why)
		cpr_because(c, "the guest runs in the new QEMU, process %d, but not as before: %s",
			    c->new_pid, why);
	return !why;
}

/* The new one has everything. Its guest stands still; if it ran before, it runs from here on. */
static bool take_over(struct cpr *c, struct qmp *new)
{
	char is[32];

	cpr_version_of(new, c->version[1], sizeof(c->version[1]));
	if (!has_vm(c->new_pid, c->to)) {
		cpr_because(c, "the new QEMU has no VM of kvm-core");
		return false;
	}
	cpr_status_of(new, is, sizeof(is));
	if (!*is) {
		cpr_because(c, "%s", new->error);
		return false;
	}
	/* There is no way back any more, even without an answer. */
	c->taken = true;
	if (c->ran && strcmp(is, "running") && !qmp_do(new, "cont", NULL, ANSWER_MS)) {
		cpr_because(c, "the guest is in the new QEMU, process %d: %s", c->new_pid,
			    new->error);
		return false;
	}
	cpr_status_of(new, is, sizeof(is));
	measure(c, new);
	if (c->ran && strcmp(is, "running")) {
		cpr_because(c, "the guest is in the new QEMU, process %d, and does not run: %s",
			    c->new_pid, *is ? is : new->error);
		return false;
	}
	return dress(c, new);
}

/* The new one listens for what the old one sends. */
static bool wait_for_listener(struct cpr *c, const struct twin *t)
{
	char path[sizeof(t->dir) + 8];

	snprintf(path, sizeof(path), "%s/cpr", t->dir);
	while (!qemu_listens(t->pid, path)) {
		if (twin_ended(t)) {
			cpr_because(c, "the new QEMU ended before it took anything%s",
				    twin_said(t));
			return false;
		}
		if (qemu_ended(&c->q)) {
			cpr_because(c, "the old QEMU has ended");
			return false;
		}
		if (late(c))
			return false;
		usleep(LOOK_US);
	}
	return true;
}

/* Until the old one has sent all and the new one has it, its guest stopped. */
static bool transfer(struct cpr *c, const struct twin *t, struct qmp *new)
{
	struct progress p = { .status = "" }, theirs;
	char is[32] = "";
	bool sent = false;
	json_t *o;
	int i;

	o = json_pack("{s:[o, o]}", "channels", channel("main", t->dir, "main"),
		      channel("cpr", t->dir, "cpr"));
	if (!qmp_do(&c->old, "migrate", o, left_ms(c))) {
		cpr_because(c, "%s", c->old.error);
		return false;
	}
	for (;;) {
		/* While the new one does not take what it sends, the old one may not answer. */
		if (!sent && !migration(&c->old, &p, left_ms(c))) {
			if (!stands_still(c) && !late(c))
				cpr_because(c, "%s", c->old.error);
			return false;
		}
		sent = !strcmp(p.status, "completed");
		/* Why, the new one says, which may be about to end. */
		if (has_failed(&p))
			for (i = 0; i < LAST_WORDS_MS * 1000 / LOOK_US && !twin_ended(t); i++)
				usleep(LOOK_US);
		if (twin_ended(t)) {
			cpr_because(c, "the new QEMU ended before it had everything%s",
				    twin_said(t));
			return false;
		}
		if (has_failed(&p)) {
			cpr_because(c, "the transfer failed%s", twin_said(t));
			return false;
		}
		/* It listens under the old one's name as soon as it can be asked. */
		if (new->fd < 0 && qemu_listens(t->pid, c->path))
			qmp_open(new, t->pid, c->path, left_ms(c));
		if (new->fd >= 0 && sent) {
			cpr_status_of(new, is, sizeof(is));
			if (*is && strcmp(is, "inmigrate") &&
			    migration(new, &theirs, left_ms(c)) &&
			    !strcmp(theirs.status, "completed"))
				return true;
		}
		if (stands_still(c) || late(c))
			return false;
		usleep(LOOK_US);
	}
}

static bool run_transfer(struct cpr *c)
{
	struct qmp new = { .fd = -1 };
	char dir[PATH_MAX];
	const char *why;
	struct twin t;
	bool ok, stays;

	snprintf(dir, sizeof(dir), "%s", c->path);
	why = twin_open(&t, &c->q, c->old.uid, c->old.gid, dirname(dir), c->program,
			transfer_args);
	if (why) {
		cpr_because(c, "%s", why);
		return false;
	}
	why = twin_start(&t);
	if (why)
		cpr_because(c, "%s", why);
	ok = !why && wait_for_listener(c, &t);
	if (ok && (!cpr_set_mode(c, "cpr-transfer", NULL) || !want_answer(c))) {
		cpr_because(c, "%s", c->old.error);
		ok = false;
	}
	c->new_pid = t.pid;
	ok = ok && transfer(c, &t, &new) && take_over(c, &new);
	stays = c->taken && !twin_ended(&t);
	if (c->taken && !stays)
		cpr_because(c, "the new QEMU ended; the old one, process %d, stands still",
			    c->q.pid);
	if (stays) {
		/* Without a chance to clean up: what it would remove is the new one's by now. */
		syscall(SYS_pidfd_send_signal, c->q.pidfd, SIGKILL, NULL, 0);
		while (!qemu_ended(&c->q))
			usleep(LOOK_US);
	}
	qmp_close(&new);
	twin_close(&t, stays);
	if (!c->taken) {
		c->new_pid = 0;
		*c->to = '\0';
		*c->version[1] = '\0';
		go_back(c);
	}
	return ok && stays;
}

/* The same process, another program: its socket comes back, or it ends. */
static bool reconnect(struct cpr *c, struct qmp *new)
{
	char is[32] = "";

	for (;;) {
		if (qemu_ended(&c->q)) {
			cpr_because(c, "the new QEMU ended, and with it the guest");
			return false;
		}
		if (new->fd >= 0 && new->ended)
			qmp_close(new);
		if (new->fd < 0)
			qmp_open(new, c->q.pid, c->path, ANSWER_MS);
		if (new->fd >= 0)
			cpr_status_of(new, is, sizeof(is));
		if (*is && strcmp(is, "inmigrate"))
			return true;
		if (late(c))
			return false;
		usleep(LOOK_US);
	}
}

static bool run_exec(struct cpr *c)
{
	struct progress p = { .status = "" };
	char file[1024], dir[PATH_MAX];
	struct qmp new = { .fd = -1 };
	const char *why;
	bool ok = false;
	struct twin t;

	snprintf(dir, sizeof(dir), "%s", c->path);
	why = twin_open(&t, &c->q, c->old.uid, c->old.gid, dirname(dir), NULL, NULL);
	if (why) {
		cpr_because(c, "%s", why);
		return false;
	}
	snprintf(file, sizeof(file), "file:%s/state", t.dir);
	if (!cpr_set_mode(c, "cpr-exec", exec_args(&c->q, c->program, t.dir)) ||
	    !qmp_do(&c->old, "migrate", json_pack("{s:s}", "uri", file), ANSWER_MS))
		cpr_because(c, "%s", c->old.error);
	else
		/* By its end the connection says that the old program has ended. */
		while (!late(c) && migration(&c->old, &p, c->until - cpr_now_ms()) &&
		       !has_failed(&p))
			usleep(LOOK_US);
	if (!c->old.ended) {
		if (!*c->why)
			cpr_because(c, "%s", has_failed(&p) ? "it failed" : c->old.error);
		go_back(c);
	}
	/* It may have gone on to the new one while it was told not to. */
	if (c->old.ended) {
		c->new_pid = c->q.pid;
		ok = reconnect(c, &new) && take_over(c, &new);
	}
	if (ok)
		*c->why = '\0';
	qmp_close(&new);
	twin_close(&t, true);
	return ok;
}

/**
 * cpr_run - replace a QEMU
 * @c: of which nothing is missing
 *
 * Return: whether the guest is in the new one; else @c->why.
 */
bool cpr_run(struct cpr *c)
{
	bool ok = false;

	if (!find_capabilities(c))
		cpr_because(c, "%s", c->old.error);
	else if (c->o->exec && !threads_get(&c->threads, &c->old, c->q.pid))
		cpr_because(c, "its threads: %s", c->old.error);
	else
		ok = c->o->exec ? run_exec(c) : run_transfer(c);
	threads_free(&c->threads);
	json_decref(c->capabilities);
	c->capabilities = NULL;
	return ok;
}
