// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ioctls of a vCPU's descriptor that are the ring's own: <linux/dirty_ring.h>.
 */
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/uaccess.h>

#include <uapi/linux/dirty_ring.h>

#include "private.h"

/**
 * dirty_ring_capability - answer KVM_CHECK_EXTENSION
 * @cap: the capability
 *
 * Return: 1 if it is one of the ring's, else 0.
 */
int dirty_ring_capability(long cap)
{
	return cap >= DIRTY_RING_CAP_RESET && cap <= DIRTY_RING_CAP_TAKE;
}
EXPORT_SYMBOL_GPL(dirty_ring_capability);

/**
 * dirty_ring_ioctl - all of them but DIRTY_RING_RESET and DIRTY_RING_TAKE
 * @hot: the vCPU's ring
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Context: process; sleeps. The vCPU may be running. No lock is held while user
 * memory is touched: a page of it may take as long as the VMM likes.
 * Return: what the ioctl does.
 */
long dirty_ring_ioctl(struct dirty_ring *hot, unsigned int cmd, unsigned long arg)
{
	struct ring *ring = ring_of(hot);
	void __user *argp = (void __user *)arg;
	struct dirty_ring_notify notify;
	u64 rate;

	switch (cmd) {
	case DIRTY_RING_NOTIFY:
		if (copy_from_user(&notify, argp, sizeof(notify)))
			return -EFAULT;
		return ring_notify_set(ring, notify.fd, notify.level);
	case DIRTY_RING_LIMIT:
		if (copy_from_user(&rate, argp, sizeof(rate)))
			return -EFAULT;
		return ring_limit_set(ring, rate);
	case DIRTY_RING_STATS_FD:
		return arg ? -EINVAL : ring_stats_fd(ring);
	default:
		return -EINVAL;
	}
}
EXPORT_SYMBOL_GPL(dirty_ring_ioctl);
