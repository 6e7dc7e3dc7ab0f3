// SPDX-License-Identifier: GPL-2.0-only
/*
 * The eventfd that is signalled when a ring fills up.
 */
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/minmax.h>
#include <relay/compat.h>

#include "private.h"
#include "trace.h"

/**
 * ring_notify_set - choose the eventfd
 * @ring: the ring
 * @fd: an eventfd; negative: none
 * @level: how many entries have to be in use
 *
 * Context: process; the spinlock is taken here.
 * Return: 0, -EINVAL, -EBADF.
 */
int ring_notify_set(struct ring *ring, int fd, u32 level)
{
	struct eventfd_ctx *ctx = NULL;

	if (fd >= 0) {
		if (!level || level > ring->soft_limit)
			return -EINVAL;
		ctx = eventfd_ctx_fdget(fd);
		if (IS_ERR(ctx))
			return PTR_ERR(ctx);
	}
	spin_lock(&ring->lock);
	swap(ctx, ring->notify.eventfd);
	ring->notify.level = level;
	ring->notify.done = false;
	ring_set_stop(ring);
	spin_unlock(&ring->lock);
	if (ctx)
		eventfd_ctx_put(ctx);
	return 0;
}

/**
 * ring_notify_at - when is the next signal due?
 * @ring: the ring, its spinlock held
 *
 * Return: the value of pushed then.
 */
u64 ring_notify_at(const struct ring *ring)
{
	const struct ring_notify *n = &ring->notify;

	if (!n->eventfd || n->done)
		return RING_NEVER;
	/* Since the level was set, the ring may have come to a vCPU that gets less full. */
	return ring->hot.reset + min(n->level, ring->soft_limit);
}

/**
 * ring_notify_check - signal if it is due
 * @ring: the ring, its spinlock held
 */
void ring_notify_check(struct ring *ring)
{
	if (ring->hot.pushed < ring_notify_at(ring))
		return;
	ring->notify.done = true;
	ring->stats->value[RING_STAT_NOTIFIED]++;
	relay_eventfd_signal(ring->notify.eventfd);
	trace_dirty_ring_notify(ring, ring->hot.pushed - ring->hot.reset);
}
