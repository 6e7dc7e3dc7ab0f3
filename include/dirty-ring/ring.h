/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What dirty-ring offers to an instance of KVM: the dirty rings of its vCPUs.
 *
 * Symbol versions cover everything here, the layout of struct dirty_ring too: an
 * instance that was built with another version of this header does not load.
 */
#ifndef __DIRTY_RING_RING_H
#define __DIRTY_RING_RING_H

#include <linux/compiler.h>
#include <linux/kvm.h>
#include <linux/ktime.h>
#include <linux/types.h>
#include <asm/barrier.h>

struct file;
struct page;

/**
 * struct dirty_ring - the part of a vCPU's ring that its instance touches itself
 * @entries:	the array that userspace maps and may write to at any time
 * @pushed:	entries ever pushed; the next goes to @entries[@pushed & @mask].
 *		Written by the vCPU's thread
 * @end:	value of @pushed at which there is no empty entry: @reset and the
 *		size. Written with release after the entries' flags
 * @reset:	entries ever reset, never more than @pushed. Written under the
 *		ring's mutex
 * @stop:	when @pushed gets here, dirty_ring_stopped() has something to say.
 *		Written under the ring's spinlock, read without, as is the next
 * @full:	when @pushed gets here, the ring counts as full, and nobody has to be
 *		told before
 * @mask:	number of entries - 1
 * @full_exits:	how often the vCPU was sent to userspace therefore. Written by
 *		the vCPU's thread
 */
struct dirty_ring {
	struct kvm_dirty_gfn *entries;
	u64 pushed;
	u64 end;
	u64 reset;
	u64 stop;
	u64 full;
	u64 mask;
	u64 full_exits;
};

/**
 * struct dirty_ring_range - up to 64 pages to be write-protected
 * @offset:	first of the pages that @mask is about, in pages from the slot's
 *		beginning; a multiple of 64
 * @mask:	which of them; not 0
 * @slot:	address space << 16 | number of the memory slot
 *
 * Slot and offset come from memory that userspace writes: any value is possible.
 */
struct dirty_ring_range {
	u64 offset;
	u64 mask;
	u32 slot;
};

/**
 * struct dirty_ring_vcpu - whose ring it is
 * @vm:		compared only, as is the next
 * @vcpu:	private data of the vCPU's file
 * @id:		number of the vCPU
 * @reserved:	entries to be free still when the ring counts as full
 * @trylock:	keep @vcpu from running; false if it runs. Does not sleep
 * @unlock:	the opposite
 * @wake:	have @vcpu look at its ring if it waits in dirty_ring_check()'s name
 */
struct dirty_ring_vcpu {
	const void *vm;
	const void *vcpu;
	int id;
	u32 reserved;
	bool (*trylock)(const void *vcpu);
	void (*unlock)(const void *vcpu);
	void (*wake)(const void *vcpu);
};

enum dirty_ring_verdict {
	DIRTY_RING_GO,		/* enter the guest */
	DIRTY_RING_FULL,	/* to userspace first */
	DIRTY_RING_WAIT,	/* not before the time given */
};

/* ring.c */
struct dirty_ring *dirty_ring_create(const struct dirty_ring_vcpu *owner,
				     u32 bytes);
void dirty_ring_destroy(struct dirty_ring *ring);
struct page *dirty_ring_page(struct dirty_ring *ring, u32 index);
void dirty_ring_drop(struct dirty_ring *ring);
enum dirty_ring_verdict dirty_ring_check(struct dirty_ring *ring, bool urgent,
					 ktime_t *until);
int dirty_ring_reset(struct dirty_ring *ring,
		     void (*protect)(void *arg,
				     const struct dirty_ring_range *ranges,
				     unsigned int n),
		     void *arg, bool interruptible, unsigned int *count);

/* ioctl.c */
int dirty_ring_capability(long cap);
long dirty_ring_ioctl(struct dirty_ring *ring, unsigned int cmd,
		      unsigned long arg);

/* move.c */
int dirty_ring_move(const void *from_vcpu, const void *to_vcpu);
int dirty_ring_move_vm(const void *from_vm, const void *to_vm);
int dirty_ring_take(struct dirty_ring *ring, const struct file *file);

/**
 * dirty_ring_push - note that a page was written
 * @ring: of the vCPU that wrote
 * @slot: address space << 16 | number of the memory slot
 * @offset: of the page in the slot
 *
 * Context: the thread that has the vCPU loaded; any, atomic too.
 * Return: false if there is no room: for dirty_ring_drop().
 */
static inline bool dirty_ring_push(struct dirty_ring *ring, u32 slot, u64 offset)
{
	u64 n = ring->pushed;
	struct kvm_dirty_gfn *entry;

	/* Pairs with the release in dirty_ring_reset(): the entry is empty. */
	if (unlikely(n >= smp_load_acquire(&ring->end)))
		return false;
	entry = &ring->entries[n & ring->mask];
	entry->slot = slot;
	entry->offset = offset;
	/* Pairs with userspace's load-acquire of the flags. */
	smp_store_release(&entry->flags, KVM_DIRTY_GFN_F_DIRTY);
	/* Pairs with the load-acquire in dirty_ring_reset(). */
	smp_store_release(&ring->pushed, n + 1);
	return true;
}

/**
 * dirty_ring_stopped - has the ring something to say before the guest is entered?
 * @ring: of the vCPU
 *
 * If so, it is full (dirty_ring_full()), or dirty_ring_check() knows.
 *
 * Context: the thread that has the vCPU loaded.
 */
static inline bool dirty_ring_stopped(const struct dirty_ring *ring)
{
	/* A plain load, for one instruction: who changes it, may be a bit late. */
	return ring->pushed >= data_race(ring->stop);
}

/**
 * dirty_ring_room - how many entries may come before the ring is to be looked at?
 * @ring: of the vCPU
 * @most: as many as the CPU notes by itself in one go
 *
 * Context: the thread that has the vCPU loaded.
 * Return: 1 to @most.
 */
static inline u64 dirty_ring_room(const struct dirty_ring *ring, u64 most)
{
	u64 stop = READ_ONCE(ring->stop);

	if (stop <= ring->pushed)
		return 1;
	return stop - ring->pushed < most ? stop - ring->pushed : most;
}

/**
 * dirty_ring_full - is the ring full, and nobody left to be told?
 * @ring: of the vCPU
 *
 * Context: the thread that has the vCPU loaded.
 */
static inline bool dirty_ring_full(struct dirty_ring *ring)
{
	if (ring->pushed < READ_ONCE(ring->full))
		return false;
	ring->full_exits++;
	return true;
}

#endif
