// SPDX-License-Identifier: GPL-2.0-only
/*
 * How fast a ring may be filled: each entry has a time when it is due, 1/rate
 * after the one before, and its vCPU does not enter the guest before that time.
 */
#include <linux/minmax.h>

#include "private.h"
#include "trace.h"

/* What was not used of the limit is good for this long. */
#define LIMIT_CREDIT_NS (100 * NSEC_PER_MSEC)
#define LIMIT_MAX 1000000000u

/**
 * ring_limit_restart - what was pushed so far does not count any more
 * @ring: the ring, its spinlock held; ring_set_stop() is to follow
 */
void ring_limit_restart(struct ring *ring)
{
	struct ring_limit *l = &ring->limit;

	l->base = ktime_get();
	l->from = READ_ONCE(ring->hot.pushed);
	/* The vCPU looks at the time when it comes by next. */
	l->at = l->rate || l->since ? 0 : RING_NEVER;
}

/**
 * ring_limit_set - change the limit
 * @ring: the ring
 * @rate: entries per second; 0: any number
 *
 * Context: process; the spinlock is taken here.
 * Return: 0, -EINVAL.
 */
int ring_limit_set(struct ring *ring, u64 rate)
{
	if (rate > LIMIT_MAX)
		return -EINVAL;
	spin_lock(&ring->lock);
	ring->limit.rate = rate;
	ring_limit_restart(ring);
	ring_set_stop(ring);
	spin_unlock(&ring->lock);
	ring->owner.wake(ring->owner.vcpu);
	return 0;
}

/**
 * ring_limit_wait - is the vCPU too fast?
 * @ring: the ring, its spinlock held, by the vCPU's thread
 * @now: the time
 * @until: when it may go on
 *
 * Return: true if it has to wait.
 */
bool ring_limit_wait(struct ring *ring, ktime_t now, ktime_t *until)
{
	struct ring_limit *l = &ring->limit;
	u64 pushed = ring->hot.pushed, waited;

	if (pushed < l->at)
		return false;
	if (l->rate) {
		/* Entries of one look fit into the ring many times: no overflow. */
		l->base = ktime_add_ns(l->base, div64_u64((pushed - l->from) * NSEC_PER_SEC,
							  l->rate));
		l->from = pushed;
		if (ktime_after(l->base, now)) {
			*until = l->base;
			if (!l->since)
				l->since = now;
			l->at = pushed;
			return true;
		}
		l->base = max(l->base, ktime_sub_ns(now, LIMIT_CREDIT_NS));
		/* Not each time: a vCPU below its limit must not feel it. */
		l->at = pushed + clamp_t(u64, l->rate / 64, 1, 64);
	} else {
		l->at = RING_NEVER;
	}
	if (l->since) {
		waited = ktime_to_ns(ktime_sub(now, l->since));
		l->since = 0;
		ring->stats->value[RING_STAT_THROTTLED]++;
		ring->stats->value[RING_STAT_THROTTLED_NS] += waited;
		trace_dirty_ring_throttled(ring, waited);
	}
	return false;
}
