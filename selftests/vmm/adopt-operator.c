// SPDX-License-Identifier: GPL-2.0-only
/* vmm-adopt: an operator moves the VM while a VMM adopts it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <kselftest.h>
#include "adopt.h"

/* The operator comes within so long at first, then later or earlier: neither is always first. */
#define SPAN_US		30000
#define SPAN_MIN_US	1000

/* A move from outside, at some moment */
struct operator {
	int		control;
	struct kvm_core_move mv;
	unsigned int	delay;
	int		error;
};

struct rounds {
	struct stage	*st;
	unsigned int	at;		/* instance of the VM */
	unsigned int	has;		/* VMM that has it */
	unsigned int	span;
	unsigned int	adopted;
	unsigned int	gave_way;
	unsigned int	moved;
	unsigned int	there;		/* the adoption was first, and to the same instance */
};

static void *move(void *arg)
{
	struct operator *o = arg;

	usleep(o->delay);
	o->error = ioctl(o->control, KVM_CORE_MOVE, &o->mv) ? errno : 0;
	return NULL;
}

static enum watch_result wrong(struct rounds *r, const struct order_msg *m,
			       const struct operator *o)
{
	snprintf(r->st->w.why, sizeof(r->st->w.why),
		 "adoption: %s: %.120s; move to %s: %s: %.120s", strerror(-m->ret), m->why,
		 o->mv.instance, strerror(o->error), o->mv.reason);
	return WATCH_FAIL;
}

/* Who had it is told so, and who has it runs it; the move may still be under way. */
static enum watch_result take(struct rounds *r, unsigned int to)
{
	struct order_msg m = order_message(to, false);
	enum watch_result w = order_give(r->st, r->has, ORDER_LEFT, &m);

	m = order_message(to, false);
	r->has = !r->has;
	return w == WATCH_OK ? order_give(r->st, r->has, ORDER_GO, &m) : w;
}

/* What each was answered, with the VM where that says. */
static enum watch_result judge(struct rounds *r, const struct order_msg *m,
			       const struct operator *o, unsigned int to)
{
	char path[64], name[32] = "", *want;
	FILE *f;

	if (m->ret && (m->ret != -EBUSY || (!strstr(m->why, "the operator moves it") &&
					    !strstr(m->why, "it is being moved already"))))
		return wrong(r, m, o);
	if (o->error && (o->error != EALREADY || m->ret || to == r->at))
		return wrong(r, m, o);
	if (m->ret) {
		r->gave_way++;
		r->span += r->span / 2;
	} else {
		r->adopted++;
		r->span -= r->span > SPAN_MIN_US ? r->span / 4 : 0;
	}
	r->moved += !o->error;
	r->there += !!o->error;
	r->at = !r->at;
	want = (char *)adopt_opts.name[r->at];
	snprintf(path, sizeof(path), "/sys/kernel/kvm_core/vms/%u/instance", o->mv.vm);
	f = fopen(path, "re");
	if (!f || !fgets(name, sizeof(name), f) || strncmp(name, want, strlen(want))) {
		snprintf(r->st->w.why, sizeof(r->st->w.why), "it is on %s, not on %s", name, want);
		return WATCH_FAIL;
	}
	fclose(f);
	return WATCH_OK;
}

/* The move is always to the other instance. */
static enum watch_result one(struct rounds *r, struct operator *o)
{
	unsigned int to = random() % 2;
	struct order_msg m = order_message(to, to == r->at && random() % 2);
	enum watch_result w = WATCH_OK;
	pthread_t thread;

	o->mv = (struct kvm_core_move){
		.fd = r->st->vm->vm, .deadline_us = 5000000, .timeout_ms = 60000,
	};
	snprintf(o->mv.instance, sizeof(o->mv.instance), "%s", adopt_opts.name[!r->at]);
	o->delay = random() % r->span;
	if (pthread_create(&thread, NULL, move, o)) {
		snprintf(r->st->w.why, sizeof(r->st->w.why), "no thread");
		return WATCH_FAIL;
	}
	order_give(r->st, !r->has, ORDER_ADOPT, &m);
	if (!m.ret)
		w = take(r, to);
	pthread_join(thread, NULL);
	if (w == WATCH_OK)
		w = judge(r, &m, o, to);
	return w == WATCH_OK ? watch_steps(&r->st->w, adopt_opts.steps) : w;
}

enum watch_result adopt_operator(struct stage *st, char *more, size_t size)
{
	struct operator o = { .control = open("/dev/kvm-core", O_RDWR | O_CLOEXEC) };
	struct rounds r = { .st = st, .span = SPAN_US };
	enum watch_result w = WATCH_OK;
	unsigned int i;

	for (i = 0; w == WATCH_OK && i < 2 * adopt_opts.times; i++)
		w = one(&r, &o);
	close(o.control);
	snprintf(more, size, ": adopted %u, gave way %u, moved %u, was there %u", r.adopted,
		 r.gave_way, r.moved, r.there);
	return w;
}
