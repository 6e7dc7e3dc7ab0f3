/* SPDX-License-Identifier: GPL-2.0-only */
/* Many VMs are handed over, several at a time. */
#ifndef __HANDOFFS_H
#define __HANDOFFS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "kvmctl.h"

/* At one time, at most. */
#define HANDOFFS_JOBS	64
/* More failures than these end it. */
#define HANDOFFS_NO_LIMIT (~0U)

enum handoff_state {
	HANDOFF_WAITS,
	HANDOFF_RUNS,
	HANDOFF_MOVED,	/* or would, of a dry run */
	HANDOFF_HERE,	/* it was there before */
	HANDOFF_FAILED,
	HANDOFF_GONE,	/* it has ended by itself */
};

/**
 * struct handoff - one VM that is to be handed over
 * @vm:		it
 * @fd:		its descriptor here when its number is not known, else -1
 * @to:		the instance
 * @tries:	so often it was asked for
 * @state:	of it
 * @mv:		what came of the last one
 */
struct handoff {
	struct vm vm;
	int fd;
	char to[KVM_CORE_NAME_LEN];
	unsigned int tries;
	enum handoff_state state;
	struct kvm_core_move mv;
};

/**
 * struct handoffs - those that are to be done, and what came of them
 * @control:	descriptor of the control device
 * @want:	what every VM is asked
 * @jobs:	so many at a time
 * @retry:	one that fails for what may pass is asked for so often again, when all the
 *		others were
 * @max_failures: with more of them no further one is begun
 * @silent:	nothing is printed
 * @told:	called for each that has ended, one after the other; or NULL
 * @data:	for @told
 * @all:	of them
 * @total:	number in @all
 * @tried:	of these, so many were begun
 * @moved:	number of HANDOFF_MOVED
 * @here:	number of HANDOFF_HERE
 * @failed:	number of HANDOFF_FAILED
 * @running:	are under way
 * @lock:	all of the above that changes
 */
struct handoffs {
	int control;
	struct kvm_core_move want;
	unsigned int jobs;
	unsigned int retry;
	unsigned int max_failures;
	bool silent;
	void (*told)(struct handoffs *h, const struct handoff *one);
	void *data;
	struct handoff *all;
	size_t total;
	size_t tried;
	unsigned int moved;
	unsigned int here;
	unsigned int failed;
	unsigned int running;
	pthread_mutex_t lock;
};

unsigned int handoffs_jobs(void);
void handoffs_init(struct handoffs *h, int control);
void handoffs_add(struct handoffs *h, const struct vm *vm, const char *to, int fd);
void handoffs_smallest_first(struct handoffs *h, size_t from);
bool handoffs_over(const struct handoffs *h);
void handoffs_run(struct handoffs *h);
void handoffs_free(struct handoffs *h);
const char *handoff_stage(unsigned int stage);
json_t *handoff_json(const struct handoff *one);

/**
 * struct handoff_options - those that every subcommand has that moves VMs
 * @want:	deadline and time limit
 * @jobs:	0 for as many as is good
 * @retry:	as in struct handoffs
 * @max_failures: as in struct handoffs
 */
struct handoff_options {
	struct kvm_core_move want;
	unsigned int jobs;
	unsigned int retry;
	unsigned int max_failures;
};

/* Its input is a struct handoff_options. */
extern const struct argp handoff_argp;
void handoffs_set(struct handoffs *h, const struct handoff_options *o);

#endif
