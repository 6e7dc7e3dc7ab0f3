/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of vmm-posted know of each other.
 */
#ifndef VMM_POSTED_H
#define VMM_POSTED_H

#include <poster.h>
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
	int		poster;
	unsigned int	moves;
	unsigned int	in_vain;
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

/* posted-unaware.c */
bool posted_unaware(struct test *t, const char *to);

#endif
