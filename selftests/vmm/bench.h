/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of vmm-bench. Functions return 0, or 1 and have said why.
 */
#ifndef BENCH_H
#define BENCH_H

#include <linux/kvm_core.h>
#include "vmm.h"

struct meter {
	struct vm	*vm;
	enum bench_op	next;		/* what the guest is told next */
	__u64		n;
	__u64		started;	/* when it was told */
	__u64		took;
	__u64		irq_at;
	__u64		irq_sum;
	bool		running;
	bool		ready;
};

/* bench-guest.c */
void bench_print(const char *name, __u64 ns, unsigned int n);
bool bench_on_pio(struct vcpu *v, __u16 port, bool in, void *data);
/* The guest has asked what to do. */
int bench_wait_ready(struct meter *m);
/* Time of n repetitions of op by vCPU 0. */
int bench_measure(struct meter *m, enum bench_op op, unsigned int n, __u64 *took);
/* A VM whose guest runs and whose memory is there. */
struct vm *bench_start(const char *dev, const struct vm_shape *shape, const struct vm_fds *fds,
		       struct vm_report *report, struct meter *m);
__u64 bench_host_tsc(void);
/* The guest's TSC less the host's. Not while the vCPU runs: it would wait. */
int bench_tsc_offset(struct vcpu *v, __u64 *result);
/* What a handoff cost, as the guest has seen it and by its stages. */
int bench_show_move(struct vm *vm, const struct kvm_core_move *mv, const char *name);

/* bench-config.c */
int bench_config(const char *dev);

/* bench-move.c */
int bench_passes(const char *dev, const char *to, unsigned int cpus, unsigned int large);
int bench_moves(const char *dev, const char *to, unsigned int cpus, unsigned int large);
/* Faults of a guest that goes through its working set again after a handoff. */
int bench_faults(const char *dev, const char *to_dev, bool bare);

/* bench-adopt.c */
int bench_adopts(const char *dev, const char *to, unsigned int cpus, unsigned int large);

/* bench-populate.c */
int bench_populate(const char *dev, const char *to);

/* bench-session.c */
int bench_session(const char *dev, unsigned int cpus);

#endif
