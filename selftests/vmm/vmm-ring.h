/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of vmm-ring know of each other.
 */
#ifndef VMM_RING_H
#define VMM_RING_H

#include "vmm.h"

#define PAGE		4096u

struct options {
	const char	*dev[2];
	unsigned int	moves;
	bool		broken;
	bool		in_place;
	bool		upstream;
};

/* vmm-ring.c */

/* How many results the test has. */
void plan(unsigned int n);
/* One of them. */
void check(bool ok, const char *what);
/* A booted VM of the dirty guest, not running; ends the program on failure. */
struct vm *vm_start(const char *dev, unsigned int cpus, unsigned int ring,
		    unsigned int pages);
void vm_end(struct vm *vm);
void tell(struct vm *vm, __u32 op);
/* Another VM with the memory and the shape of one. */
struct vm *vm_twin(const struct vm *vm);
/* vCPU 0 in this thread. */
bool run_until_full(struct vm *vm);
/* All pages are protected anew: what a VMM can do that has lost some. */
void protect_all(struct vm *vm);
/* For ring_collect(): @arg is an unsigned int, or NULL. */
void count_page(void *arg, __u32 slot, __u64 offset);
/* By kvm-core, while the VM runs. */
int move_in_place(struct vm *vm, const char *dev);

/* ring-beside.c: what other threads and other tenants do at the same time */
int test_tenants(const struct options *o);
int test_resets(const struct options *o);
int test_interrupts(const struct options *o);

#endif
