/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of dirty-ring know of each other.
 */
#ifndef __DIRTY_RING_PRIVATE_H
#define __DIRTY_RING_PRIVATE_H

#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/rcupdate.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include <dirty-ring/ring.h>

struct eventfd_ctx;

/* Where @stop is not bounded. */
#define RING_NEVER	U64_MAX

/**
 * struct ring_mem - the pages of a ring
 * @kref:	of the vCPU that has the ring, and of one whose descriptor maps it
 * @entries:	from vmalloc()
 */
struct ring_mem {
	struct kref kref;
	struct kvm_dirty_gfn *entries;
};

/**
 * struct ring_notify - an eventfd that hears of a ring that fills up
 * @eventfd:	NULL: none
 * @level:	entries in use that make it signalled
 * @done:	signalled since the last reset
 *
 * Under the ring's spinlock.
 */
struct ring_notify {
	struct eventfd_ctx *eventfd;
	u32 level;
	bool done;
};

/**
 * struct ring_limit - how fast a ring may be filled
 * @rate:	entries per second, 0: any
 * @at:		@pushed at which the time is to be looked at again
 * @base:	when the entry number @from was due
 * @from:	see @base
 * @since:	when the wait began that goes on, or 0
 * @urgent:	before it is due the vCPU runs all the same, for an interrupt
 * @owed:	when what was pushed meanwhile is paid for
 *
 * Under the ring's spinlock.
 */
struct ring_limit {
	u64 rate;
	u64 at;
	ktime_t base;
	u64 from;
	ktime_t since;
	bool urgent;
	ktime_t owed;
};

enum ring_stat {
	RING_STAT_PUSHED,
	RING_STAT_FULL,
	RING_STAT_RESETS,
	RING_STAT_RESET,
	RING_STAT_THROTTLED,
	RING_STAT_THROTTLED_NS,
	RING_STAT_NOTIFIED,
	RING_STAT_MOVED,
	RING_STAT_DROPPED,
	RING_STATS,
};

/* Pages of all rings since the module was loaded that had no room. */
extern atomic64_t ring_dropped;

/**
 * struct ring_stats - counters of a ring, which may outlive it
 * @kref:	of the ring, and of open files
 * @lock:	@live, for a reader
 * @live:	the ring, for what it counts itself; NULL when it is gone
 * @id:		number of the vCPU that the ring was made for
 * @value:	written under the ring's spinlock, RING_STAT_DROPPED by the vCPU;
 *		of RING_STAT_PUSHED and RING_STAT_FULL, which the ring itself has,
 *		the values when @live was cleared
 */
struct ring_stats {
	struct kref kref;
	spinlock_t lock;	/* @live */
	struct ring *live;
	int id;
	u64 value[RING_STATS];
};

/**
 * struct ring - a vCPU's ring
 * @hot:	what the instance knows of it
 * @by_vcpu:	in a list of all rings, as @by_vm; ring.c
 * @by_vm:	see @by_vcpu
 * @rcu:	who walks those lists may still look at @owner
 * @owner:	the vCPU; constant
 * @bytes:	size of the array; constant
 * @soft_limit:	entries in use when the ring counts as full: the vCPU's instance
 *		decides, so it stays when rings are exchanged; constant
 * @ranges:	what one batch of a reset protects; under @mutex
 * @mutex:	one reset or exchange at a time. A reset may hold it for as long as its
 *		VMM likes, since the instance's locks are taken under it: only a reset
 *		of the same ring waits for it, all others try
 * @lock:	@hot.stop, settings, @stats: the vCPU's thread meets others here. Two
 *		at once by who has both mutexes. Leaf but for @stats->lock and
 *		eventfd_signal()
 * @mapped:	the memory that faults of the vCPU's descriptor give, from the
 *		first fault or handoff on; set under @lock, and constant then
 * @mem:	this and all below belongs to the ring and goes with it when two
 *		vCPUs exchange theirs
 * @notify:	an eventfd
 * @limit:	of the rate
 * @stats:	counters
 */
struct ring {
	struct dirty_ring hot;
	struct hlist_node by_vcpu;
	struct hlist_node by_vm;
	struct rcu_head rcu;
	struct dirty_ring_vcpu owner;
	u32 bytes;
	u32 soft_limit;
	struct dirty_ring_range *ranges;
	struct mutex mutex;	/* one reset or exchange at a time */
	spinlock_t lock;	/* @hot.stop and its terms, settings */
	struct ring_mem *mapped;
	struct ring_mem *mem;
	struct ring_notify notify;
	struct ring_limit limit;
	struct ring_stats *stats;
};

static inline struct ring *ring_of(struct dirty_ring *hot)
{
	return container_of(hot, struct ring, hot);
}

/* ring.c */
struct ring *ring_find(const void *vcpu);
struct ring *ring_first(const void *vm);
struct ring *ring_next(struct ring *ring);
void ring_set_stop(struct ring *ring);
void ring_mem_put(struct ring_mem *mem);

/* limit.c */
int ring_limit_set(struct ring *ring, u64 rate);
void ring_limit_restart(struct ring *ring);
bool ring_limit_wait(struct ring *ring, ktime_t now, bool urgent, ktime_t *until);

/* notify.c */
int ring_notify_set(struct ring *ring, int fd, u32 level);
void ring_notify_check(struct ring *ring);
u64 ring_notify_at(const struct ring *ring);

/* stats.c */
struct ring_stats *ring_stats_create(struct ring *ring);
void ring_stats_put(struct ring_stats *stats);
void ring_stats_attach(struct ring_stats *stats, struct ring *ring);
int ring_stats_fd(struct ring *ring);

/* move.c */
void ring_pin_mapping(struct ring *ring);

#endif
