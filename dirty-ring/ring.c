// SPDX-License-Identifier: GPL-2.0-only
/*
 * A ring: its memory, its indices, reset, and what stops its vCPU.
 */
#include <linux/eventfd.h>
#include <linux/export.h>
#include <linux/hashtable.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/rculist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "private.h"
#include "trace.h"

/* Ranges of one batch: bounds the time for which the instance's locks are held. */
#define RING_BATCH 1024u

/*
 * All rings, by their vCPU and by their VM. Rings come and go under rings_lock, and
 * are found under RCU: a handoff, with its VM stopped, has no lock in common with
 * another VM.
 */
static DEFINE_SPINLOCK(rings_lock);
static DEFINE_HASHTABLE(rings_by_vcpu, 10);
static DEFINE_HASHTABLE(rings_by_vm, 10);

/**
 * ring_find - the ring of a vCPU
 * @vcpu: as it calls itself in struct dirty_ring_vcpu; any pointer
 *
 * Context: rcu_read_lock(); the ring stays as long as the vCPU does.
 * Return: the ring or NULL.
 */
struct ring *ring_find(const void *vcpu)
{
	struct ring *ring;

	hash_for_each_possible_rcu(rings_by_vcpu, ring, by_vcpu, (unsigned long)vcpu)
		if (ring->owner.vcpu == vcpu)
			return ring;
	return NULL;
}

static struct ring *ring_of_vm(struct hlist_node *node, const void *vm)
{
	struct ring *ring = hlist_entry_safe(node, struct ring, by_vm);

	hlist_for_each_entry_from_rcu(ring, by_vm)
		if (ring->owner.vm == vm)
			return ring;
	return NULL;
}

/**
 * ring_first - the first ring of a VM's
 * @vm: as its vCPUs call it in struct dirty_ring_vcpu
 *
 * Context: as ring_find(). The order stays while the VM's vCPUs do.
 * Return: the ring or NULL.
 */
struct ring *ring_first(const void *vm)
{
	struct hlist_head *head = &rings_by_vm[hash_min((unsigned long)vm,
							HASH_BITS(rings_by_vm))];

	return ring_of_vm(rcu_dereference(hlist_first_rcu(head)), vm);
}

/**
 * ring_next - the next ring of the same VM
 * @ring: one
 *
 * Context: as ring_first().
 * Return: the ring or NULL.
 */
struct ring *ring_next(struct ring *ring)
{
	return ring_of_vm(rcu_dereference(hlist_next_rcu(&ring->by_vm)),
			  ring->owner.vm);
}

static struct ring_mem *ring_mem_create(u32 bytes)
{
	struct ring_mem *mem = kmalloc(sizeof(*mem), GFP_KERNEL_ACCOUNT);

	if (!mem)
		return NULL;
	kref_init(&mem->kref);
	mem->entries = __vmalloc(bytes, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!mem->entries) {
		kfree(mem);
		return NULL;
	}
	return mem;
}

static void ring_mem_free(struct kref *kref)
{
	struct ring_mem *mem = container_of(kref, struct ring_mem, kref);

	/* Pages that userspace still maps have references of their own. */
	vfree(mem->entries);
	kfree(mem);
}

/**
 * ring_mem_put - drop a reference
 * @mem: the memory, or NULL
 *
 * Context: process; may sleep.
 */
void ring_mem_put(struct ring_mem *mem)
{
	if (mem)
		kref_put(&mem->kref, ring_mem_free);
}

/**
 * ring_set_stop - say when the vCPU has to look up
 * @ring: the ring, its spinlock held
 */
void ring_set_stop(struct ring *ring)
{
	u64 full = ring->hot.reset + ring->soft_limit;
	u64 notify = ring_notify_at(ring);

	WRITE_ONCE(ring->hot.full, notify > full ? full : RING_NEVER);
	WRITE_ONCE(ring->hot.stop, min3(full, notify, ring->limit.at));
}

/**
 * dirty_ring_create - a ring for a vCPU
 * @owner: the vCPU; copied
 * @bytes: size of the array, a power of two with room for the reserved entries
 *
 * Context: process; sleeps.
 * Return: the ring, to be given back by dirty_ring_destroy(), or NULL.
 */
struct dirty_ring *dirty_ring_create(const struct dirty_ring_vcpu *owner,
				     u32 bytes)
{
	u32 entries = bytes / sizeof(struct kvm_dirty_gfn);
	struct ring *ring;

	ring = kzalloc(sizeof(*ring), GFP_KERNEL_ACCOUNT);
	if (!ring)
		return NULL;
	ring->owner = *owner;
	ring->bytes = bytes;
	mutex_init(&ring->mutex);
	spin_lock_init(&ring->lock);
	ring->ranges = kvmalloc_array(min(entries, RING_BATCH),
				      sizeof(*ring->ranges), GFP_KERNEL_ACCOUNT);
	if (!ring->ranges)
		goto err_ring;
	ring->mem = ring_mem_create(bytes);
	if (!ring->mem)
		goto err_ranges;
	ring->stats = ring_stats_create(ring);
	if (!ring->stats)
		goto err_mem;

	ring->hot.entries = ring->mem->entries;
	ring->hot.mask = entries - 1;
	ring->hot.end = entries;
	ring->soft_limit = entries - owner->reserved;
	ring->limit.at = RING_NEVER;
	ring_set_stop(ring);

	spin_lock(&rings_lock);
	hash_add_rcu(rings_by_vcpu, &ring->by_vcpu, (unsigned long)owner->vcpu);
	hash_add_rcu(rings_by_vm, &ring->by_vm, (unsigned long)owner->vm);
	spin_unlock(&rings_lock);
	return &ring->hot;

err_mem:
	ring_mem_put(ring->mem);
err_ranges:
	kvfree(ring->ranges);
err_ring:
	kfree(ring);
	return NULL;
}
EXPORT_SYMBOL_GPL(dirty_ring_create);

/**
 * dirty_ring_destroy - end a vCPU's ring
 * @hot: the ring, or NULL
 *
 * Pages that userspace maps stay until it unmaps them.
 *
 * Context: process; sleeps. The vCPU and its descriptor are used no more.
 */
void dirty_ring_destroy(struct dirty_ring *hot)
{
	struct ring *ring;

	if (!hot)
		return;
	ring = ring_of(hot);
	spin_lock(&rings_lock);
	hash_del_rcu(&ring->by_vcpu);
	hash_del_rcu(&ring->by_vm);
	spin_unlock(&rings_lock);

	ring_stats_attach(ring->stats, NULL);
	ring_stats_put(ring->stats);
	if (ring->notify.eventfd)
		eventfd_ctx_put(ring->notify.eventfd);
	ring_mem_put(ring->mapped);
	ring_mem_put(ring->mem);
	kvfree(ring->ranges);
	kfree_rcu(ring, rcu);
}
EXPORT_SYMBOL_GPL(dirty_ring_destroy);

/**
 * dirty_ring_page - a page of the array, for a fault in a mapping
 * @hot: the ring
 * @index: number of the page, in range
 *
 * The first call decides for good which memory the vCPU's descriptor maps: a
 * mapping must not show pages of two rings after an exchange.
 *
 * Context: any that may fault; does not sleep.
 * Return: the page, which lives as long as the ring's vCPU.
 */
struct page *dirty_ring_page(struct dirty_ring *hot, u32 index)
{
	struct ring *ring = ring_of(hot);

	ring_pin_mapping(ring);
	return vmalloc_to_page((void *)ring->mapped->entries + (size_t)index * PAGE_SIZE);
}
EXPORT_SYMBOL_GPL(dirty_ring_page);

/**
 * dirty_ring_drop - a page was written and has no room in the ring
 * @hot: the full ring
 *
 * Needs more writes of KVM's own on behalf of the vCPU than entries are reserved
 * for, without a KVM_RUN in between: a VMM's ioctls can do that, so the log has
 * nothing of it.
 *
 * Context: the thread that has the vCPU loaded; any, atomic too.
 */
void dirty_ring_drop(struct dirty_ring *hot)
{
	struct ring *ring = ring_of(hot);

	ring->stats->value[RING_STAT_DROPPED]++;
	atomic64_inc(&ring_dropped);
}
EXPORT_SYMBOL_GPL(dirty_ring_drop);

/**
 * dirty_ring_check - may the vCPU enter the guest?
 * @hot: its ring, dirty_ring_stopped()
 * @urgent: there is an interrupt for the vCPU, or it handles one: the limit of the
 *	rate gives way
 * @until: set for DIRTY_RING_WAIT: CLOCK_MONOTONIC; to be asked again then
 *
 * Context: the thread that has the vCPU loaded; does not sleep.
 */
enum dirty_ring_verdict dirty_ring_check(struct dirty_ring *hot, bool urgent,
					 ktime_t *until)
{
	struct ring *ring = ring_of(hot);
	enum dirty_ring_verdict verdict = DIRTY_RING_GO;

	spin_lock(&ring->lock);
	ring_notify_check(ring);
	ring_set_stop(ring);
	if (dirty_ring_full(hot))
		verdict = DIRTY_RING_FULL;
	else if (ring_limit_wait(ring, ktime_get(), urgent, until))
		verdict = DIRTY_RING_WAIT;
	ring_set_stop(ring);
	spin_unlock(&ring->lock);
	return verdict;
}
EXPORT_SYMBOL_GPL(dirty_ring_check);

/* Collected entries from @from on become empty and @ranges; how many there were. */
static unsigned int ring_collect(struct ring *ring, u64 from, u64 end,
				 unsigned int *n_ranges)
{
	struct dirty_ring_range *range = ring->ranges - 1;
	unsigned int room = min_t(u64, ring->hot.mask + 1, RING_BATCH);
	u64 n;

	for (n = from; n != end; n++) {
		struct kvm_dirty_gfn *entry = &ring->hot.entries[n & ring->hot.mask];
		u64 offset, first;
		u32 slot;

		/* Pairs with the release that userspace stores the flags with. */
		if (!(smp_load_acquire(&entry->flags) & KVM_DIRTY_GFN_F_RESET))
			break;
		/* Userspace can write here at any time: read once. */
		slot = READ_ONCE(entry->slot);
		offset = READ_ONCE(entry->offset);
		first = round_down(offset, 64);

		if (range < ring->ranges || range->offset != first ||
		    range->slot != slot) {
			if (!room--)
				break;
			range++;
			range->slot = slot;
			range->offset = first;
			range->mask = 0;
		}
		range->mask |= BIT_ULL(offset & 63);
		WRITE_ONCE(entry->flags, 0);
	}
	*n_ranges = range + 1 - ring->ranges;
	return n - from;
}

/**
 * dirty_ring_reset - make collected entries empty again
 * @hot: the ring
 * @protect: write-protects pages, so that the next write is pushed again, and
 *	must not fail; sleeps. TLBs need not be flushed before the caller of
 *	dirty_ring_reset() tells userspace
 * @arg: for @protect
 * @interruptible: any signal ends it, otherwise one that kills alone
 * @count: the number of entries is added here, whatever is returned
 *
 * Never more entries than were there at the beginning, in batches. A mutex keeps
 * resets of the same ring apart, those of different rings go in parallel.
 *
 * Context: process; sleeps.
 * Return: 0, -EINTR when a signal ended it.
 */
int dirty_ring_reset(struct dirty_ring *hot,
		     void (*protect)(void *arg,
				     const struct dirty_ring_range *ranges,
				     unsigned int n),
		     void *arg, bool interruptible, unsigned int *count)
{
	struct ring *ring = ring_of(hot);
	unsigned int n, n_ranges, total = 0;
	int r = 0;
	u64 end;

	if (interruptible ? mutex_lock_interruptible(&ring->mutex) :
			    mutex_lock_killable(&ring->mutex))
		return -EINTR;
	/* Pairs with the release in dirty_ring_push(). */
	end = smp_load_acquire(&hot->pushed);
	while (hot->reset != end) {
		if (interruptible ? signal_pending(current) :
				    fatal_signal_pending(current)) {
			r = -EINTR;
			break;
		}
		n = ring_collect(ring, hot->reset, end, &n_ranges);
		if (!n)
			break;
		protect(arg, ring->ranges, n_ranges);
		total += n;

		spin_lock(&ring->lock);
		hot->reset += n;
		/* Pairs with the load-acquire in dirty_ring_push(): empty before. */
		smp_store_release(&hot->end, hot->end + n);
		ring->notify.done = false;
		ring->stats->value[RING_STAT_RESET] += n;
		ring_set_stop(ring);
		spin_unlock(&ring->lock);
		cond_resched();
	}
	if (total) {
		spin_lock(&ring->lock);
		ring->stats->value[RING_STAT_RESETS]++;
		spin_unlock(&ring->lock);
		trace_dirty_ring_reset(ring, total);
	}
	mutex_unlock(&ring->mutex);
	*count += total;
	return r;
}
EXPORT_SYMBOL_GPL(dirty_ring_reset);
