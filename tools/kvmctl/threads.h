/* SPDX-License-Identifier: GPL-2.0-only */
/* Where threads of a QEMU run that its management has put somewhere. */
#ifndef __THREADS_H
#define __THREADS_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

#include "qmp.h"

/**
 * struct thread - one that has a name by which the next QEMU has it, too
 * @name:	of the vCPU or the iothread, fit to be printed
 * @tid:	its number
 * @cgroup:	from the root of the hierarchy; NULL if it is not known
 * @cpus:	on which it may run
 */
struct thread {
	char name[128];
	int tid;
	char *cgroup;
	cpu_set_t cpus[16];
};

/**
 * struct threads - those of one QEMU
 * @all:	of them
 * @nr:		in @all
 */
struct threads {
	struct thread *all;
	size_t nr;
};

bool threads_get(struct threads *t, struct qmp *q, int pid);
const char *threads_put(const struct threads *t, struct qmp *q, int pid);
void threads_free(struct threads *t);

#endif
