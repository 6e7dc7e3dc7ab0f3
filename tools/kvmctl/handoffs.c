// SPDX-License-Identifier: GPL-2.0-only
/* Many VMs are handed over, several at a time. handoffs.h tells the rules. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "handoffs.h"

/* Before one that failed is asked for again. */
#define RETRY_US	500000
/* Not more by default: each takes time of the CPUs from guests that stand still meanwhile. */
#define DEFAULT_JOBS	8

static const char * const stages[KVM_CORE_STAGES] = {
	"record", "prepare", "stop", "quiesce", "move", "commit", "retire"
};

/**
 * handoff_stage - as people know it
 * @stage: enum kvm_core_stage
 */
const char *handoff_stage(unsigned int stage)
{
	return stage < KVM_CORE_STAGES ? stages[stage] : "?";
}

/**
 * handoff_json - what came of one
 * @one: that has ended
 */
json_t *handoff_json(const struct handoff *one)
{
	const struct kvm_core_move *mv = &one->mv;
	json_t *ns = json_object(), *o, *figures;
	int i;

	for (i = 0; i < KVM_CORE_STAGES; i++)
		json_object_set_new(ns, stages[i], json_integer(mv->stage_ns[i]));
	o = json_pack("{s:i, s:i, s:s, s:s, s:s, s:s, s:i, s:s*, s:s, s:i}",
		      "vm", mv->vm, "pid", mv->pid, "comm", one->vm.comm,
		      "from", mv->from, "to", one->to, "stage", handoff_stage(mv->stage),
		      "error", mv->error, "errno", mv->error ? say_errno(mv->error) : NULL,
		      "reason", mv->reason, "tries", one->tries);
	figures = json_pack("{s:i, s:i, s:I, s:I, s:o}",
			    "vcpus", mv->vcpus, "attempts", mv->attempts,
			    "populated", (json_int_t)mv->populated,
			    "downtime_ns", (json_int_t)mv->downtime_ns, "stage_ns", ns);
	json_object_update(o, figures);
	json_decref(figures);
	return o;
}

/**
 * handoffs_jobs - so many at a time are good for this host as it is
 *
 * Half of the CPUs that are idle: one sets a VM up, one is for what the VMM and the guest
 * have to do for it.
 */
unsigned int handoffs_jobs(void)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	double load[1] = { 0 };
	double jobs;

	getloadavg(load, 1);
	jobs = (cpus - load[0]) / 2;
	return jobs < 1 ? 1 : jobs > DEFAULT_JOBS ? DEFAULT_JOBS : jobs;
}

/**
 * handoffs_init - none yet
 * @h: them
 * @control: descriptor of the control device
 */
void handoffs_init(struct handoffs *h, int control)
{
	*h = (struct handoffs){
		.control = control, .jobs = 1, .max_failures = HANDOFFS_NO_LIMIT,
	};
	pthread_mutex_init(&h->lock, NULL);
}

/**
 * handoffs_set - do them as the command line says
 * @h: them
 * @o: the command line
 */
void handoffs_set(struct handoffs *h, const struct handoff_options *o)
{
	h->want = o->want;
	h->jobs = o->jobs ? o->jobs : handoffs_jobs();
	h->retry = o->retry;
	h->max_failures = o->max_failures;
}

/**
 * handoffs_free - forget them
 * @h: them
 */
void handoffs_free(struct handoffs *h)
{
	free(h->all);
	pthread_mutex_destroy(&h->lock);
}

/**
 * handoffs_add - one more, behind the others
 * @h: them; none is under way
 * @vm: the VM
 * @to: the instance
 * @fd: its descriptor here, if its number is not known, else -1
 */
void handoffs_add(struct handoffs *h, const struct vm *vm, const char *to, int fd)
{
	struct handoff *one;

	h->all = reallocarray(h->all, h->total + 1, sizeof(*h->all));
	if (!h->all)
		die_errno(NULL);
	one = &h->all[h->total++];
	*one = (struct handoff){ .vm = *vm, .fd = fd };
	snprintf(one->to, sizeof(one->to), "%s", to);
}

static int by_size(const void *a, const void *b)
{
	const struct handoff *x = a, *y = b;

	if (x->vm.vcpus != y->vm.vcpus)
		return x->vm.vcpus < y->vm.vcpus ? -1 : 1;
	return (x->vm.id > y->vm.id) - (x->vm.id < y->vm.id);
}

/**
 * handoffs_smallest_first - those that stop shortest go first
 * @h: them; none is under way
 * @from: those before this one stay where they are in the order
 *
 * A stop takes longer with each vCPU. What shows only on this host shows on small ones.
 */
void handoffs_smallest_first(struct handoffs *h, size_t from)
{
	if (h->total > from)
		qsort(h->all + from, h->total - from, sizeof(*h->all), by_size);
}

/**
 * handoffs_over - have too many failed?
 * @h: them
 */
bool handoffs_over(const struct handoffs *h)
{
	return h->max_failures != HANDOFFS_NO_LIMIT && h->failed > h->max_failures;
}

static void progress(const struct handoffs *h)
{
	if (h->silent || json_wanted || h->total < 2 || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%zu of %zu, %u under way", h->tried - h->running, h->total,
		h->running);
	if (h->failed)
		fprintf(stderr, ", %u failed", h->failed);
	fputc('\r', stderr);
}

static void progress_end(const struct handoffs *h)
{
	if (!h->silent && !json_wanted && h->total > 1 && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* Somebody else had it, or it was not to be stopped in time. */
static bool may_pass(int error)
{
	return error == EBUSY || error == ETIMEDOUT || error == EAGAIN || error == ENOMEM;
}

/* The next one that waits: one that was not begun, then those that failed. */
static struct handoff *next_of(struct handoffs *h)
{
	size_t i;

	if (handoffs_over(h) || signals_pending())
		return NULL;
	if (h->tried < h->total)
		return &h->all[h->tried++];
	for (i = 0; i < h->total; i++)
		if (h->all[i].state == HANDOFF_WAITS)
			return &h->all[i];
	return NULL;
}

static void say_failure(const struct handoffs *h, const struct handoff *one, bool again)
{
	const struct kvm_core_move *mv = &one->mv;
	const struct vm *vm = &one->vm;

	if (h->silent || !vm->id)
		return;
	warnx("VM %u (%s, pid %d): stage %s: %s (%s)%s", vm->id, vm->comm, vm->pid,
	      handoff_stage(mv->stage), *mv->reason ? mv->reason : "it was refused",
	      strerror(mv->error), again ? "; it is tried again later" : "");
}

static bool has_gone(const struct handoff *one)
{
	struct vm vm;

	return one->fd < 0 && !host_vm(one->vm.id, &vm);
}

static void ended(struct handoffs *h, struct handoff *one, int error)
{
	bool again;

	h->running--;
	progress_end(h);
	/* Nothing was written back if the argument was refused as a whole. */
	one->mv.error = error;
	/* It has ended meanwhile: nothing of it has to be moved any more. */
	if ((error == ENOENT || error == ESRCH) && has_gone(one)) {
		one->state = HANDOFF_GONE;
	} else if (error == EALREADY) {
		one->state = HANDOFF_HERE;
		h->here++;
	} else if (!error) {
		one->state = HANDOFF_MOVED;
		h->moved++;
	} else {
		again = may_pass(error) && one->tries <= h->retry;
		one->state = again ? HANDOFF_WAITS : HANDOFF_FAILED;
		h->failed += !again;
		say_failure(h, one, again);
	}
	if (one->state == HANDOFF_WAITS)
		return;
	if (one->fd >= 0 && one->mv.vm)
		host_vm(one->mv.vm, &one->vm);
	if (h->told)
		h->told(h, one);
}

static void *work(void *arg)
{
	struct handoffs *h = arg;
	struct handoff *one;
	int error;

	pthread_mutex_lock(&h->lock);
	while ((one = next_of(h))) {
		one->state = HANDOFF_RUNS;
		h->running++;
		progress(h);
		one->mv = h->want;
		one->mv.vm = one->vm.id;
		one->mv.fd = one->fd;
		snprintf(one->mv.instance, sizeof(one->mv.instance), "%s", one->to);
		pthread_mutex_unlock(&h->lock);
		if (one->tries++)
			usleep(RETRY_US);
		error = ioctl(h->control, KVM_CORE_MOVE, &one->mv) ? errno : 0;
		pthread_mutex_lock(&h->lock);
		ended(h, one, error);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/**
 * handoffs_run - do them
 * @h: them; those that have ended stay as they are
 *
 * Comes back when all have ended; or, when a signal has come that signals_hold() holds or
 * too many have failed, when those have that were under way.
 */
void handoffs_run(struct handoffs *h)
{
	pthread_t threads[HANDOFFS_JOBS];
	unsigned int i, n = 0, jobs = h->jobs;

	if (jobs > h->total - h->tried)
		jobs = h->total - h->tried;
	for (i = 1; i < jobs; i++)
		if (!pthread_create(&threads[n], NULL, work, h))
			n++;
	work(h);
	for (i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	/* Those that were to be tried again, and are not. */
	for (i = 0; i < h->tried; i++) {
		if (h->all[i].state != HANDOFF_WAITS)
			continue;
		h->all[i].state = HANDOFF_FAILED;
		h->failed++;
		if (h->told)
			h->told(h, &h->all[i]);
	}
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct handoff_options *o = state->input;

	switch (key) {
	case 'd':
		o->want.deadline_us = say_number(state, arg, "the deadline", 1,
						 KVM_CORE_MAX_DEADLINE_US);
		return 0;
	case 't':
		o->want.timeout_ms = say_number(state, arg, "the time limit", 1,
						KVM_CORE_MAX_TIMEOUT_MS);
		return 0;
	case 'j':
		o->jobs = say_number(state, arg, "the number of jobs", 1, HANDOFFS_JOBS);
		return 0;
	case 'r':
		o->retry = say_number(state, arg, "the number of further tries", 0, 1000);
		return 0;
	case 'm':
		o->max_failures = say_number(state, arg, "the number of failures", 0, 1000000);
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp_option options[] = {
	{ "deadline", 'd', "US", 0,
	  "Stop vCPUs no longer than this, else leave the VM where it is (100000)", 0 },
	{ "timeout", 't', "MS", 0, "Time limit for each VM (10000)", 0 },
	{ "jobs", 'j', "N", 0, "So many at a time (half of the idle CPUs, at most 8)", 0 },
	{ "retry", 'r', "N", 0,
	  "Try one that was busy or late N times again, after the others", 0 },
	{ "max-failures", 'm', "N", 0, "With more than N failures begin no further one", 0 },
	{ 0 }
};

const struct argp handoff_argp = { .options = options, .parser = parse };
