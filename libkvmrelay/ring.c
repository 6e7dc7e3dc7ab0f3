// SPDX-License-Identifier: GPL-2.0-only
/* Collecting from a vCPU's dirty ring; the protocol is in Documentation/dirty-ring.rst. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "private.h"

/**
 * struct kvmrelay_ring - a ring that is collected from
 * @vcpu:	descriptor of its vCPU, the caller's
 * @size:	entries
 * @next:	entry to be collected next, counted without end
 * @entries:	the ring, mapped
 */
struct kvmrelay_ring {
	int vcpu;
	unsigned int size;
	unsigned int next;
	struct kvm_dirty_gfn *entries;
};

EXPORT int kvmrelay_ring_enable(int vm, unsigned int entries, struct kvmrelay_error *err)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_DIRTY_LOG_RING,
		.args = { (__u64)entries * sizeof(struct kvm_dirty_gfn) },
	};

	if (ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING_ACQ_REL) > 0)
		cap.cap = KVM_CAP_DIRTY_LOG_RING_ACQ_REL;
	if (ioctl(vm, KVM_ENABLE_CAP, &cap))
		return kvmrelay_fail(err, -errno, "dirty rings of %u entries: %s", entries,
				     strerror(errno));
	return 0;
}

EXPORT int kvmrelay_ring_open(struct kvmrelay_ring **ring, int vcpu, unsigned int entries,
			      unsigned int next, struct kvmrelay_error *err)
{
	struct kvmrelay_ring *r = calloc(1, sizeof(*r));
	void *p;
	int error;

	if (!r)
		return kvmrelay_fail(err, -ENOMEM, "a dirty ring: %s", strerror(ENOMEM));
	p = mmap(NULL, (size_t)entries * sizeof(*r->entries), PROT_READ | PROT_WRITE, MAP_SHARED,
		 vcpu, KVM_DIRTY_LOG_PAGE_OFFSET * getpagesize());
	if (p == MAP_FAILED) {
		error = errno;
		free(r);
		return kvmrelay_fail(err, -error, "mapping a dirty ring of %u entries: %s", entries,
				     strerror(error));
	}
	r->vcpu = vcpu;
	r->size = entries;
	r->next = next;
	r->entries = p;
	*ring = r;
	return 0;
}

EXPORT void kvmrelay_ring_close(struct kvmrelay_ring *ring)
{
	if (!ring)
		return;
	munmap(ring->entries, (size_t)ring->size * sizeof(*ring->entries));
	free(ring);
}

EXPORT unsigned int kvmrelay_ring_next(const struct kvmrelay_ring *ring)
{
	return ring->next;
}

EXPORT unsigned int kvmrelay_ring_collect(struct kvmrelay_ring *ring,
					  void (*page)(void *arg, __u32 slot, __u64 offset),
					  void *arg)
{
	unsigned int n;

	for (n = 0; n < ring->size; n++) {
		struct kvm_dirty_gfn *e = &ring->entries[ring->next % ring->size];

		/* Acquire: slot and offset are not older than the flags. */
		if (__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) != KVM_DIRTY_GFN_F_DIRTY)
			break;
		page(arg, e->slot, e->offset);
		/* Release: they were read before KVM may reuse the entry. */
		__atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		ring->next++;
	}
	return n;
}

EXPORT int kvmrelay_ring_reset(struct kvmrelay_ring *ring, struct kvmrelay_error *err)
{
	int n = ioctl(ring->vcpu, DIRTY_RING_RESET, 0);

	if (n < 0)
		return kvmrelay_fail(err, -errno, "resetting a dirty ring: %s", strerror(errno));
	return n;
}

EXPORT int kvmrelay_ring_notify(struct kvmrelay_ring *ring, int event, unsigned int level,
				struct kvmrelay_error *err)
{
	struct dirty_ring_notify n = { .fd = event, .level = level };

	if (ioctl(ring->vcpu, DIRTY_RING_NOTIFY, &n))
		return kvmrelay_fail(err, -errno, "an eventfd at %u entries of a dirty ring: %s",
				     level, strerror(errno));
	return 0;
}
