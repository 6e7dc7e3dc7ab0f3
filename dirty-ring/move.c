// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which vCPU has which ring: two vCPUs exchange theirs.
 */
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/fs.h>
#include <linux/minmax.h>

#include "private.h"
#include "trace.h"

static struct ring *ring_find_id(const void *vm, int id)
{
	struct ring *ring;

	for (ring = ring_first(vm); ring; ring = ring_next(ring))
		if (ring->owner.id == id)
			return ring;
	return NULL;
}

/* Both mutexes are held, and neither vCPU pushes. */
static int ring_may_move(const struct ring *from, const struct ring *to)
{
	if (from->bytes != to->bytes)
		return -EINVAL;
	/* What userspace maps by to's descriptor would be another ring's. */
	if (to->mapped && to->mapped != from->mem)
		return -EBUSY;
	if (from->hot.pushed - from->hot.reset + to->hot.pushed - to->hot.reset >
	    from->hot.mask + 1)
		return -ENOSPC;
	return 0;
}

/* As ring_may_move(), which said 0. */
static void ring_exchange(struct ring *from, struct ring *to)
{
	u64 n, appended = 0;

	spin_lock(&from->lock);
	spin_lock_nested(&to->lock, SINGLE_DEPTH_NESTING);
	/*
	 * Writes made for the new vCPU while its state was restored. Userspace has
	 * not seen them, as nobody mapped the ring, so no flag has changed.
	 */
	for (n = to->hot.reset; n != to->hot.pushed; n++) {
		struct kvm_dirty_gfn *e = &to->hot.entries[n & to->hot.mask];

		appended += dirty_ring_push(&from->hot, e->slot, e->offset);
		e->flags = 0;
	}
	/* Who gets it, begins with the first entry. */
	to->hot.pushed = 0;
	to->hot.reset = 0;
	to->hot.end = to->hot.mask + 1;
	ring_limit_restart(to);

	swap(from->hot, to->hot);
	swap(from->mem, to->mem);
	swap(from->notify, to->notify);
	swap(from->limit, to->limit);
	swap(from->stats, to->stats);
	to->stats->value[RING_STAT_MOVED]++;
	ring_set_stop(from);
	ring_set_stop(to);
	trace_dirty_ring_move(to, appended);
	spin_unlock(&to->lock);
	spin_unlock(&from->lock);
	ring_stats_attach(to->stats, to);
	ring_stats_attach(from->stats, from);
}

/* Never waits: a reset holds the mutex for as long as its VMM likes. */
static int ring_move(struct ring *from, struct ring *to)
{
	int r = -EBUSY;

	if (from == to)
		return -EINVAL;
	if (!mutex_trylock(&from->mutex))
		return r;
	if (mutex_trylock(&to->mutex)) {
		r = ring_may_move(from, to);
		if (!r)
			ring_exchange(from, to);
		mutex_unlock(&to->mutex);
	}
	mutex_unlock(&from->mutex);
	return r;
}

/**
 * dirty_ring_move - a vCPU takes the ring of another one
 * @from_vcpu: which has the ring
 * @to_vcpu: which gets it; its own, with nothing in it, goes to the first
 *
 * Called the other way round it undoes itself: then what the first vCPU has
 * pushed meanwhile is appended.
 *
 * Context: process; does not sleep. Both vCPUs exist and neither enters a guest nor
 * is the object of an ioctl that writes guest memory, until this returns.
 * Return: 0, -ENOENT one has no ring, -EINVAL sizes differ, -EBUSY userspace has
 * mapped the ring of @to_vcpu or resets one of the two, -ENOSPC both rings' entries
 * do not fit into one.
 */
int dirty_ring_move(const void *from_vcpu, const void *to_vcpu)
{
	struct ring *from, *to;
	int r = -ENOENT;

	rcu_read_lock();
	from = ring_find(from_vcpu);
	to = ring_find(to_vcpu);
	if (from && to)
		r = ring_move(from, to);
	rcu_read_unlock();
	return r;
}
EXPORT_SYMBOL_GPL(dirty_ring_move);

/**
 * ring_pin_mapping - what the vCPU's descriptor maps is the ring that it has now
 * @ring: the vCPU's
 *
 * Context: process.
 */
void ring_pin_mapping(struct ring *ring)
{
	spin_lock(&ring->lock);
	if (!ring->mapped) {
		kref_get(&ring->mem->kref);
		ring->mapped = ring->mem;
	}
	spin_unlock(&ring->lock);
}

/**
 * dirty_ring_move_vm - dirty_ring_move() for all vCPUs of a VM, by their numbers
 * @from_vm: of the vCPUs that have the rings
 * @to_vm: of those that get them
 *
 * For one VM that changes what is behind its descriptors: those of @from_vm go on
 * mapping the rings that it had, also where nobody looked before.
 *
 * Context: as dirty_ring_move(), for all vCPUs of both, and no vCPU of either comes
 * or goes.
 * Return: 0 if all have moved, or there was none to move; an error as
 * dirty_ring_move() if none has.
 */
int dirty_ring_move_vm(const void *from_vm, const void *to_vm)
{
	struct ring *from, *to, *bad;
	int r = 0;

	if (from_vm == to_vm)
		return -EINVAL;

	rcu_read_lock();
	for (from = ring_first(from_vm); from; from = ring_next(from)) {
		to = ring_find_id(to_vm, from->owner.id);
		if (to)
			ring_pin_mapping(from);
		r = to ? ring_move(from, to) : -ENOENT;
		if (r)
			break;
	}
	/* An exchange that just went one way goes the other. */
	for (bad = from, from = ring_first(from_vm); bad && from != bad;
	     from = ring_next(from))
		WARN_ON_ONCE(ring_move(ring_find_id(to_vm, from->owner.id), from));
	rcu_read_unlock();
	return r;
}
EXPORT_SYMBOL_GPL(dirty_ring_move_vm);

/* Both vCPUs are kept from running, for a moment. */
static int ring_take_locked(struct ring *from, struct ring *to)
{
	int r = -EBUSY;

	if (from == to)
		return -EINVAL;
	if (!from->owner.trylock(from->owner.vcpu))
		return r;
	if (to->owner.trylock(to->owner.vcpu)) {
		r = ring_move(from, to);
		to->owner.unlock(to->owner.vcpu);
	}
	from->owner.unlock(from->owner.vcpu);
	return r;
}

/**
 * dirty_ring_take - DIRTY_RING_TAKE: take the ring of the vCPU behind a descriptor
 * @ring: of the vCPU that takes
 * @file: a vCPU's descriptor, held by the caller
 *
 * Context: process. Waits for nobody.
 * Return: as dirty_ring_move(); -EBUSY too if one of the vCPUs is in an ioctl,
 * -EINVAL if it is no vCPU's with a ring.
 */
int dirty_ring_take(struct dirty_ring *ring, const struct file *file)
{
	struct ring *from;
	int r = -EINVAL;

	/* The file keeps its vCPU, and that its ring. */
	rcu_read_lock();
	/* A descriptor for reading alone (of statistics) must not change anything. */
	from = file->f_mode & FMODE_WRITE ? ring_find(file->private_data) : NULL;
	rcu_read_unlock();
	if (from)
		r = ring_take_locked(from, ring_of(ring));
	return r;
}
EXPORT_SYMBOL_GPL(dirty_ring_take);
