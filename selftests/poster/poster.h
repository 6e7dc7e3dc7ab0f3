/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * /dev/poster: interrupts posted to vCPUs as an IOMMU posts them, at random
 * moments. Each open descriptor has its own streams; closing it ends them.
 */
#ifndef SELFTESTS_POSTER_H
#define SELFTESTS_POSTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define POSTER_VECTORS	16

/**
 * struct poster_stream - a range of vectors for one vCPU
 * @vm:		number of the VM, as in /sys/kernel/kvm_core/vms
 * @vcpu:	id of the vCPU
 * @vector:	the first
 * @count:	how many, up to POSTER_VECTORS
 * @eventfd:	-1, and the vectors are posted to the vCPU's descriptor; or the
 *		eventfd of an irqfd, and there is a device behind it whose interrupt
 *		KVM may have posted, to wherever KVM says (@vm and @vcpu are ignored)
 * @reserved:	0
 * @acks:	address of 256 counters of 64 bits in one page: how often the guest
 *		took each vector. A vector is posted again when it was taken.
 */
struct poster_stream {
	__u32 vm;
	__u32 vcpu;
	__u32 vector;
	__u32 count;
	__s32 eventfd;
	__u32 reserved;
	__u64 acks;
};

/**
 * struct poster_counts - how often each vector of a stream was sent
 * @stream:	argument: streams count from 0, in the order in which they came
 * @reserved:	0
 * @sent:	result
 */
struct poster_counts {
	__u32 stream;
	__u32 reserved;
	__u64 sent[POSTER_VECTORS];
};

/**
 * struct poster_stats - what became of all that was sent
 * @since:	argument: CLOCK_MONOTONIC in ns, for @between
 * @until:	argument
 * @sent:	vectors
 * @notified:	with the vector for a vCPU that runs
 * @other_cpu:	of these, to another CPU than the one that posted
 * @woken:	with the vector for a vCPU that is halted
 * @pending:	ON was set: no notification
 * @suppressed:	SN was set (the vCPU was preempted): no notification
 * @astray:	notifications to a CPU that does not exist, or with a vector that is
 *		neither
 * @remapped:	not posted, but signalled by eventfd
 * @irte_posted: how often KVM had an interrupt posted
 * @irte_remapped: and not posted
 * @between:	of @sent, since and until (of the last 4096)
 */
struct poster_stats {
	__u64 since;
	__u64 until;
	__u64 sent;
	__u64 notified;
	__u64 other_cpu;
	__u64 woken;
	__u64 pending;
	__u64 suppressed;
	__u64 astray;
	__u64 remapped;
	__u64 irte_posted;
	__u64 irte_remapped;
	__u64 between;
};

#define POSTER_ADD	_IOW(0xbd, 0, struct poster_stream)
#define POSTER_START	_IO(0xbd, 1)
/* Returns when none is on its way any more. */
#define POSTER_STOP	_IO(0xbd, 2)
#define POSTER_COUNTS	_IOWR(0xbd, 3, struct poster_counts)
#define POSTER_STATS	_IOWR(0xbd, 4, struct poster_stats)

#endif
