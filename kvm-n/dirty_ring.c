// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty rings: what the instance has in the place of KVM's own, with dirty-ring
 * behind it. struct kvm_dirty_ring is KVM's; of it dirty_gfns is a pointer to
 * struct dirty_ring here, and the indices are what tracepoints show.
 */
#include <linux/kvm_host.h>
#include <linux/rcuwait.h>
#include <linux/sched/signal.h>
#include <trace/events/kvm.h>

#include <dirty-ring/ring.h>
#include <uapi/linux/dirty_ring.h>

#include "hyperv.h"
#include "irq.h"
#include "kvm_mm.h"
#include "lapic.h"
#include "x86.h"
#include "relay.h"
#include "compat.h"

WRAP(kvm_vm_ioctl_check_extension);
REAL(kvm_vm_ioctl_check_extension);

static inline struct dirty_ring *ring_of(const struct kvm_dirty_ring *ring)
{
	return (struct dirty_ring *)ring->dirty_gfns;
}

static inline struct kvm_vcpu *vcpu_of(struct kvm_dirty_ring *ring)
{
	return container_of(ring, struct kvm_vcpu, dirty_ring);
}

u32 kvm_dirty_ring_get_rsvd_entries(void)
{
	return kvm_cpu_dirty_log_size() + KVM_DIRTY_RING_RSVD_ENTRIES;
}

static bool vcpu_trylock(const void *vcpu)
{
	return mutex_trylock(&((struct kvm_vcpu *)vcpu)->mutex);
}

static void vcpu_unlock(const void *vcpu)
{
	mutex_unlock(&((struct kvm_vcpu *)vcpu)->mutex);
}

static void vcpu_wake(const void *vcpu)
{
	kvm_vcpu_wake_up((struct kvm_vcpu *)vcpu);
}

int kvm_dirty_ring_alloc(struct kvm_dirty_ring *ring, int index, u32 size)
{
	struct dirty_ring_vcpu owner = {
		.vm = vcpu_of(ring)->kvm,
		.vcpu = vcpu_of(ring),
		.id = index,
		.reserved = kvm_dirty_ring_get_rsvd_entries(),
		.trylock = vcpu_trylock,
		.unlock = vcpu_unlock,
		.wake = vcpu_wake,
	};

	ring->index = index;
	ring->dirty_gfns = (void *)dirty_ring_create(&owner, size);
	return ring->dirty_gfns ? 0 : -ENOMEM;
}

void kvm_dirty_ring_free(struct kvm_dirty_ring *ring)
{
	dirty_ring_destroy(ring_of(ring));
	ring->dirty_gfns = NULL;
}

struct page *kvm_dirty_ring_get_page(struct kvm_dirty_ring *ring, u32 offset)
{
	return dirty_ring_page(ring_of(ring), offset);
}

/* Apart, so that nothing is saved for it when it is off. */
static noinline void trace_push(struct kvm_dirty_ring *ring, u32 slot, u64 offset)
{
	ring->dirty_index = ring_of(ring)->pushed;
	ring->reset_index = ring_of(ring)->reset;
	trace_kvm_dirty_ring_push(ring, slot, offset);
}

RELAY_PUSH(vcpu, slot, offset)
{
	struct kvm_dirty_ring *ring = &vcpu->dirty_ring;

	if (!dirty_ring_push(ring_of(ring), slot, offset)) {
		dirty_ring_drop(ring_of(ring));
		return;
	}
	if (trace_kvm_dirty_ring_push_enabled())
		trace_push(ring, slot, offset);
}

/**
 * kvm_relay_pml_entries - how many pages may the CPU note before it exits?
 * @vcpu: the vCPU, loaded
 *
 * Context: any.
 * Return: 1 to the size of the buffer.
 */
unsigned int kvm_relay_pml_entries(struct kvm_vcpu *vcpu)
{
	struct dirty_ring *ring = ring_of(&vcpu->dirty_ring);

	return ring ? dirty_ring_room(ring, kvm_cpu_dirty_log_size()) :
		      kvm_cpu_dirty_log_size();
}

static bool lapic_busy(struct kvm_lapic *apic)
{
	unsigned int i;

	if (READ_ONCE(apic->pending_events))
		return true;
	for (i = 0; i < APIC_ISR_NR; i++)
		if (kvm_lapic_get_reg(apic, APIC_IRR + 0x10 * i) ||
		    kvm_lapic_get_reg(apic, APIC_ISR + 0x10 * i))
			return true;
	return false;
}

static bool pic_busy(struct kvm_vcpu *vcpu)
{
	struct kvm_pic *pic = vcpu->kvm->arch.vpic;

	return kvm_cpu_has_extint(vcpu) ||
	       (pic && kvm_apic_accept_pic_intr(vcpu) && READ_ONCE(pic->pics[0].isr));
}

/*
 * Is there an interrupt for the vCPU, or does it handle one? Whether it has them
 * enabled does not count: it has to get on to the place where it enables them. As
 * with a halted vCPU, who brings one wakes the thread afterwards.
 */
static bool interrupted(struct kvm_vcpu *vcpu)
{
	if (kvm_test_request(KVM_REQ_NMI, vcpu) || kvm_test_request(KVM_REQ_SMI, vcpu) ||
	    kvm_test_request(KVM_REQ_PMI, vcpu) || vcpu->arch.nmi_pending ||
	    vcpu->arch.smi_pending || vcpu->arch.hflags & HF_SMM_MASK ||
	    static_call(kvm_x86_get_nmi_mask)(vcpu))
		return true;
	if (!list_empty_careful(&vcpu->async_pf.done) || kvm_hv_has_stimer_pending(vcpu))
		return true;
	if (lapic_in_kernel(vcpu) &&
	    (kvm_cpu_has_pending_timer(vcpu) || lapic_busy(vcpu->arch.apic) ||
	     kvm_arch_dy_has_pending_interrupt(vcpu)))
		return true;
	return pic_busy(vcpu);
}

/* A device that posts to a vCPU with interrupts off wakes nobody. */
#define LONGEST_WAIT_NS (10 * NSEC_PER_MSEC)

/*
 * A vCPU that dirties memory too fast waits like a halted one, without the
 * locks that entering the guest needs. False when there is something to do
 * before it is time: a signal, or the end of the VM. @urgent: for an interrupt
 * it would wait too.
 */
static bool wait_until(struct kvm_vcpu *vcpu, ktime_t until, bool urgent)
{
	ktime_t longest = ktime_add_ns(ktime_get(), LONGEST_WAIT_NS);
	struct rcuwait *wait = kvm_arch_vcpu_get_wait(vcpu);
	bool hv_timer = kvm_lapic_hv_timer_in_use(vcpu);
	bool disturbed;

	until = min(until, longest);
	/* The other one runs in the guest only. */
	if (hv_timer)
		kvm_lapic_switch_to_sw_timer(vcpu);
	kvm_vcpu_srcu_read_unlock(vcpu);
	prepare_to_rcuwait(wait);
	/* Before what it is to be woken for is looked at. */
	set_current_state(TASK_INTERRUPTIBLE);
	disturbed = signal_pending(current) || vcpu->kvm->vm_dead;
	if (!disturbed && (urgent || !interrupted(vcpu)))
		schedule_hrtimeout(&until, HRTIMER_MODE_ABS);
	finish_rcuwait(wait);
	kvm_vcpu_srcu_read_lock(vcpu);
	if (hv_timer)
		kvm_lapic_switch_to_hv_timer(vcpu);
	return !disturbed;
}

static noinline bool check_ring(struct kvm_dirty_ring *ring)
{
	struct kvm_vcpu *vcpu = vcpu_of(ring);
	ktime_t until;
	bool urgent;

	while (dirty_ring_stopped(ring_of(ring))) {
		urgent = interrupted(vcpu);
		switch (dirty_ring_check(ring_of(ring), urgent, &until)) {
		case DIRTY_RING_FULL:
			return true;
		case DIRTY_RING_GO:
			return false;
		case DIRTY_RING_WAIT:
			/* With a signal pending, KVM does not enter the guest. */
			if (!wait_until(vcpu, until, urgent))
				return false;
		}
	}
	return false;
}

/* The vCPU is about to enter the guest: true sends it to userspace instead. */
static bool ring_full(struct kvm_dirty_ring *ring)
{
	return dirty_ring_full(ring_of(ring)) || check_ring(ring);
}

RELAY_RING_CHECK(ring_full)

/* Returns with mmu_lock as it was; another one may have had it meanwhile. */
static void protect_range(struct kvm *kvm, const struct dirty_ring_range *range)
{
	unsigned int as_id = range->slot >> 16;
	unsigned int id = (u16)range->slot;
	struct kvm_memory_slot *slot;
	u64 mask = range->mask;

	if (as_id >= relay_address_spaces(kvm) || id >= KVM_USER_MEM_SLOTS)
		return;
	slot = id_to_memslot(__kvm_memslots(kvm, as_id), id);
	if (!slot || range->offset >= slot->npages)
		return;
	if (slot->npages - range->offset < 64)
		mask &= BIT_ULL(slot->npages - range->offset) - 1;
	if (mask)
		kvm_arch_mmu_enable_log_dirty_pt_masked(kvm, slot, range->offset,
							mask);
}

/**
 * struct reset - an ioctl that resets rings
 * @kvm: the VM
 * @unflushed: it has protected pages, and is counted in kvm->dirty_ring_unflushed
 * @count: entries that it has reset
 */
struct reset {
	struct kvm *kvm;
	bool unflushed;
	unsigned int count;
};

static void protect(void *arg, const struct dirty_ring_range *ranges,
		    unsigned int n)
{
	struct reset *reset = arg;
	struct kvm *kvm = reset->kvm;
	unsigned int i;

	if (!reset->unflushed) {
		reset->unflushed = true;
		atomic_inc(&kvm->dirty_ring_unflushed);
	}
	/* Slots stay, and splitting of huge pages may use the VM's cache. */
	mutex_lock(&kvm->slots_lock);
	KVM_MMU_LOCK(kvm);
	for (i = 0; i < n; i++) {
		protect_range(kvm, &ranges[i]);
		cond_resched_rwlock_write(&kvm->mmu_lock);
	}
	KVM_MMU_UNLOCK(kvm);
	mutex_unlock(&kvm->slots_lock);
}

static int reset_ring(struct reset *reset, struct kvm_dirty_ring *ring,
		      bool interruptible)
{
	int r = dirty_ring_reset(ring_of(ring), protect, reset, interruptible,
				 &reset->count);

	if (trace_kvm_dirty_ring_reset_enabled()) {
		ring->dirty_index = ring_of(ring)->pushed;
		ring->reset_index = ring_of(ring)->reset;
		trace_kvm_dirty_ring_reset(ring);
	}
	return r;
}

/*
 * One flush for all that was protected, before userspace hears of it. Who found less
 * to do because another thread was there first must not wait for that one, nor come
 * back before its flush: it flushes too. What the other has protected by then was
 * counted before it let go of the ring's mutex.
 */
static int reset_done(struct reset *reset, int r)
{
	struct kvm *kvm = reset->kvm;

	if (atomic_read_acquire(&kvm->dirty_ring_unflushed))
		kvm_flush_remote_tlbs(kvm);
	if (reset->unflushed)
		/* After the flush, for who reads 0. */
		atomic_fetch_dec_release(&kvm->dirty_ring_unflushed);
	return reset->count ?: r;
}

/**
 * kvm_relay_reset_dirty_rings - KVM_RESET_DIRTY_RINGS
 * @kvm: the VM
 *
 * As KVM's own, it ends when all is done, whatever signals come: VMMs count on it.
 *
 * Context: process; sleeps.
 * Return: number of entries, -EINVAL without rings, -EINTR if the process was
 * killed before the first entry.
 */
int kvm_relay_reset_dirty_rings(struct kvm *kvm)
{
	struct reset reset = { .kvm = kvm };
	struct kvm_vcpu *vcpu;
	unsigned long idx;
	int r = 0;

	if (!kvm->dirty_ring_size)
		return -EINVAL;
	kvm_for_each_vcpu(idx, vcpu, kvm) {
		r = reset_ring(&reset, &vcpu->dirty_ring, false);
		if (r)
			break;
	}
	return reset_done(&reset, r);
}

/**
 * kvm_relay_dirty_ring_ioctl - ioctls of a vCPU that are its ring's
 * @vcpu: the vCPU, which may be running
 * @cmd: in the range of DIRTY_RING_IOCTLS
 * @arg: its argument
 *
 * Context: process; sleeps.
 * Return: what the ioctl does.
 */
long kvm_relay_dirty_ring_ioctl(struct kvm_vcpu *vcpu, unsigned int cmd,
				unsigned long arg)
{
	struct reset reset = { .kvm = vcpu->kvm };
	struct file *file;
	int r;

	if (!vcpu->kvm->dirty_ring_size)
		return -EINVAL;
	/* The descriptor was looked up by kvm-core, which keeps its VM from moving. */
	if (cmd == DIRTY_RING_TAKE)
		return kvm_core_arg_file(arg, &file) && file ?
		       dirty_ring_take(ring_of(&vcpu->dirty_ring), file) : -EBADF;
	if (cmd != DIRTY_RING_RESET)
		return dirty_ring_ioctl(ring_of(&vcpu->dirty_ring), cmd, arg);
	if (arg)
		return -EINVAL;
	r = reset_ring(&reset, &vcpu->dirty_ring, true);
	return reset_done(&reset, r);
}

int __wrap_kvm_vm_ioctl_check_extension(struct kvm *kvm, long ext)
{
	return dirty_ring_capability(ext) ?:
		__real_kvm_vm_ioctl_check_extension(kvm, ext);
}
