/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of vmm-ring know of each other.
 */
#ifndef VMM_RING_H
#define VMM_RING_H

#include "../vfio/result.h"
#include "vmm.h"

#define PAGE		4096u
/* Of most rings. */
#define ENTRIES		4096u

struct options {
	const char	*dev[2];
	unsigned int	moves;
	bool		broken;
	bool		in_place;
	bool		upstream;
};

/* vmm-ring.c */

/* Of the VMs that vm_start() makes, and vm_twin(). */
extern struct vm_report ring_report;
extern struct vm_fds ring_fds;

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
__u64 ring_stat(struct ring *r, enum ring_stat s);
void write_all(struct vm *vm, __u32 op);

/* ring-interface.c */
int test_interface(const struct options *o);
int test_hold(const struct options *o);

/* ring-beyond.c */
int test_beyond(const struct options *o);

/* ring-limit.c */
int test_limit(const struct options *o);

/* ring-move.c */
int test_move(const struct options *o);
/* By kvm-core, while the VM runs. */
int move_in_place(struct vm *vm, const char *dev);

/* ring-bench.c */
int test_bench(const struct options *o);

/* ring-beside.c: what other threads and other tenants do at the same time */
int test_tenants(const struct options *o);
/* Each resets its own vCPU's ring, or both reset all of the VM's. */
void test_two_resetters(const char *dev, bool own);
int test_resets(const struct options *o);
int test_interrupts(const struct options *o);

#endif
