/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What a dirty ring does beyond KVM's own interface (<linux/kvm.h>). Each part has a
 * capability, which KVM_CHECK_EXTENSION answers on /dev/kvm* and on a VM's
 * descriptor with 1. All ioctls are those of a vCPU's descriptor, do not wait
 * for the vCPU to leave KVM_RUN, and are EINVAL where KVM_CAP_DIRTY_LOG_RING was
 * not enabled.
 */
#ifndef _UAPI_LINUX_DIRTY_RING_H
#define _UAPI_LINUX_DIRTY_RING_H

#include <linux/kvm.h>
#include <linux/types.h>

#define DIRTY_RING_CAP_RESET	0x64720000
#define DIRTY_RING_CAP_NOTIFY	0x64720001
#define DIRTY_RING_CAP_LIMIT	0x64720002
#define DIRTY_RING_CAP_STATS	0x64720003
#define DIRTY_RING_CAP_TAKE	0x64720004

/* The numbers of KVM's ioctls that are the dirty ring's. */
#define DIRTY_RING_IOCTLS	0xf0
#define DIRTY_RING_IOCTLS_MASK	0xf0

/*
 * As KVM_RESET_DIRTY_RINGS, for this vCPU's ring alone. Returns the number of
 * entries; a signal ends it early, with EINTR if it had not begun.
 */
#define DIRTY_RING_RESET	_IO(KVMIO, 0xf0)

/**
 * struct dirty_ring_notify - have an eventfd signalled
 * @fd:		an eventfd, or -1 for none any more
 * @level:	entries that are in use when it is signalled: 1 to the number at
 *		which KVM_EXIT_DIRTY_RING_FULL comes
 *
 * Signalled once, when the vCPU is about to enter the guest; a reset of one entry
 * or more arms it again.
 */
struct dirty_ring_notify {
	__s32 fd;
	__u32 level;
};

#define DIRTY_RING_NOTIFY	_IOW(KVMIO, 0xf1, struct dirty_ring_notify)

/*
 * Pages per second that the vCPU may dirty, at most 10^9; 0 is no limit. While it has
 * interrupts to take or handles one, another limit holds: 1000.
 */
#define DIRTY_RING_LIMIT	_IOW(KVMIO, 0xf2, __u64)

/* Returns a descriptor to read, in the format of KVM_GET_STATS_FD. */
#define DIRTY_RING_STATS_FD	_IO(KVMIO, 0xf3)

/*
 * The argument is the descriptor of another vCPU, of the same or another VM,
 * instance or process: the two exchange rings, with all that belongs to them.
 * What the other way's ring has in it is appended to the one that is taken.
 * EBUSY while one of the two is in KVM_RUN or its ring is reset or its VM stands still
 * to be moved to another instance, or when this vCPU's ring is mapped already; ENOSPC if the
 * entries do not fit.
 */
#define DIRTY_RING_TAKE		_IO(KVMIO, 0xf4)

#endif
