/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of vmm-posted know of each other.
 */
#ifndef VMM_POSTED_H
#define VMM_POSTED_H

#include <poster.h>
#include "adopt.h"
#include "posted.h"

struct options {
	const char	*name[2];
	unsigned int	cpus;
	unsigned int	moves;
	unsigned int	steps;
	unsigned int	stall;
	unsigned int	deadline;
	unsigned int	patience;
	const char	*refuses;
	bool		fail;
	bool		pass;
	bool		exec;
	bool		unaware;
	bool		adopt;
};

/* One VM with what watches it. */
struct side {
	struct vm	*vm;
	struct watch	w;
	struct vm_fds	fds;
	struct vm_report *report;
};

struct test {
	const struct options *o;
	struct side	posted;
	struct side	beside;
	struct posted_vmm vmm;		/* that runs it, with -x */
	struct stage	stage;		/* VMMs that run it, with -A */
	int		poster;
	unsigned int	moves;
	unsigned int	in_vain;
	unsigned int	killed;		/* VMMs whose VM moved when they were dead */
	__u64		parked;		/* posted while the VM stood still */
	unsigned int	late;		/* moves with one posted behind the state, with -u */
	__u64		longest;
	char		why[400];
};

/* vmm-posted.c */

/* Returns false; @error is an errno, or 0. */
bool broken(struct test *t, const char *what, int error);
bool get_stats(struct test *t, struct poster_stats *st);
/* Of a vCPU's vectors, those of irqfds (true) or the others. */
bool get_counts(struct test *t, unsigned int cpu, bool device, struct poster_counts *c);
/* The VM runs again, since st->since somewhere else. */
bool passed(struct test *t, struct poster_stats *st);

/* The guest makes so many steps, and the VM beside it does. */
bool go_on(struct test *t, __u64 steps);
/* Does it answer what it has to? */
bool posted_wait_for(struct test *t, struct posted_vmm *v, enum posted_answer want);

/* posted-over.c */

/* The next VMM does not go on: the one before does. */
bool posted_over_in_vain(struct test *t, const char *to, enum posted_answer answer);
bool posted_over(struct test *t, const char *to);
/* One that has taken the descriptors is killed: what is posted to them is the host's. */
bool posted_abandon_over(struct test *t);

/* posted-adopt.c */

/* Two VMMs, the first of which has the VM and runs it */
bool posted_adopt_begin(struct test *t);
void posted_adopt_end(struct test *t);
/* The next one fails so, and the VM goes on with the one that has it. */
bool posted_adopt_in_vain(struct test *t, const char *to, unsigned int stage, int error);
/* The next one has it, and runs it. */
bool posted_adopt(struct test *t);

/* posted-moved.c: nobody takes the descriptors of a vCPU before its handoff has ended. */
bool posted_while_moved(struct test *t, const char *to);

/* posted-unaware.c */
bool posted_unaware(struct test *t, const char *to);

#endif
