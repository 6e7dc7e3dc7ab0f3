// SPDX-License-Identifier: GPL-2.0-only
/*
 * How fast a ring may be filled: each entry has a time when it is due, 1/rate
 * after the one before, and its vCPU does not enter the guest before that time.
 * For interrupts it does, since they may be what all other vCPUs wait for: what is
 * pushed then has a limit of its own.
 */
#include <linux/minmax.h>

#include "private.h"
#include "trace.h"

/* What was not used of the limit is good for this long. */
#define LIMIT_CREDIT_NS (100 * NSEC_PER_MSEC)
#define LIMIT_MAX 1000000000u
/* Entries that are pushed for interrupts: 1000 a second, and so many at once. */
#define URGENT_NS NSEC_PER_MSEC
#define URGENT_BURST 64

/**
 * ring_limit_restart - what was pushed so far does not count any more
 * @ring: the ring, its spinlock held; ring_set_stop() is to follow
 */
void ring_limit_restart(struct ring *ring)
{
	struct ring_limit *l = &ring->limit;

	l->base = ktime_get();
	l->from = READ_ONCE(ring->hot.pushed);
	l->urgent = false;
	l->owed = 0;
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

/* It is not yet due: may the vCPU run for an interrupt, and if not, when? */
static bool limit_urgent(struct ring_limit *l, ktime_t now, ktime_t *until)
{
	ktime_t at;

	l->owed = max(l->owed, now);
	at = ktime_sub_ns(l->owed, URGENT_BURST * URGENT_NS);
	*until = min(*until, at);
	return !ktime_after(at, now);
}

/**
 * ring_limit_wait - is the vCPU too fast?
 * @ring: the ring, its spinlock held, by the vCPU's thread
 * @now: the time
 * @urgent: there is an interrupt for the vCPU, or it handles one
 * @until: when it may go on
 *
 * Return: true if it has to wait.
 */
bool ring_limit_wait(struct ring *ring, ktime_t now, bool urgent, ktime_t *until)
{
	struct ring_limit *l = &ring->limit;
	u64 pushed = ring->hot.pushed, n, waited;

	if (pushed < l->at)
		return false;
	if (l->rate) {
		/* Entries of one look fit into the ring: no overflow. */
		n = pushed - l->from;
		if (l->urgent)
			l->owed = ktime_add_ns(l->owed, n * URGENT_NS);
		else
			l->base = ktime_add_ns(l->base, div64_u64(n * NSEC_PER_SEC, l->rate));
		l->from = pushed;
		*until = l->base;
		l->urgent = false;
		if (ktime_after(l->base, now)) {
			l->urgent = urgent && limit_urgent(l, now, until);
			if (!l->urgent) {
				if (!l->since)
					l->since = now;
				l->at = pushed;
				return true;
			}
			l->at = pushed + 1;
		} else {
			l->base = max(l->base, ktime_sub_ns(now, LIMIT_CREDIT_NS));
			/* Not each time: a vCPU below its limit must not feel it. */
			l->at = pushed + clamp_t(u64, l->rate / 64, 1, 64);
		}
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
