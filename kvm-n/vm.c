// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instance's part in the handoff of a VM, as handoff.c: what is the VM's, and no
 * vCPU's. PIT, PICs, IOAPIC, and how the TSCs of the vCPUs match.
 */
#include <linux/kvm_host.h>

#include "compat.h"
#include "i8254.h"
#include "ioapic.h"
#include "irq.h"
#include "relay.h"

/* A tick of the PIT that has come is an interrupt, and no other comes. */
static void settle_pit(struct kvm *kvm, struct kvm_core_vm_extra *extra)
{
	struct kvm_pit *pit = kvm->arch.vpit;
	struct kvm_kpit_state *ps;
	int i;

	if (!pit)
		return;
	ps = &pit->pit_state;
	mutex_lock(&ps->lock);
	if (hrtimer_cancel(&ps->timer))
		extra->pit_expires = ktime_to_ns(hrtimer_get_expires(&ps->timer));
	kthread_flush_work(&pit->expired);
	extra->pit_pending = atomic_read(&ps->pending);
	for (i = 0; i < ARRAY_SIZE(ps->channels); i++)
		extra->pit_loaded[i] = ktime_to_ns(ps->channels[i].count_load_time);
	mutex_unlock(&ps->lock);
}

static const int pic_sources[] = {
	KVM_USERSPACE_IRQ_SOURCE_ID, KVM_IRQFD_RESAMPLE_IRQ_SOURCE_ID,
};

static void settle_pic(struct kvm *kvm, struct kvm_core_vm_extra *extra)
{
	struct kvm_pic *pic = kvm->arch.vpic;
	int i, pin;

	BUILD_BUG_ON(ARRAY_SIZE(pic_sources) != ARRAY_SIZE(extra->pic_lines));
	if (!pic)
		return;
	spin_lock(&pic->lock);
	for (i = 0; i < ARRAY_SIZE(pic_sources); i++)
		for (pin = 0; pin < PIC_NUM_PINS; pin++)
			if (test_bit(pic_sources[i], &pic->irq_states[pin]))
				extra->pic_lines[i] |= BIT(pin);
	spin_unlock(&pic->lock);
}

/* Under the IOAPIC's lock, as adopt_rtc(). */
static void settle_rtc(const struct rtc_status *rtc, struct kvm_core_vm_extra *extra)
{
	BUILD_BUG_ON(KVM_MAX_VCPU_IDS > KVM_CORE_VCPU_IDS);
	extra->rtc_owed = rtc->pending_eoi;
	bitmap_copy(extra->rtc_map, rtc->dest_map.map, KVM_MAX_VCPU_IDS);
	memcpy(extra->rtc_vectors, rtc->dest_map.vectors,
	       sizeof(rtc->dest_map.vectors));
}

static void settle_tscs(struct kvm *kvm, struct kvm_core_vm_extra *extra)
{
	struct kvm_arch *ka = &kvm->arch;
	unsigned long flags;

	raw_spin_lock_irqsave(&ka->tsc_write_lock, flags);
	extra->tsc_last.nsec = ka->last_tsc_nsec;
	extra->tsc_last.write = ka->last_tsc_write;
	extra->tsc_last.offset = ka->last_tsc_offset;
	extra->tsc_khz = ka->last_tsc_khz;
	extra->tsc_first.generation = ka->cur_tsc_generation;
	extra->tsc_first.nsec = ka->cur_tsc_nsec;
	extra->tsc_first.write = ka->cur_tsc_write;
	extra->tsc_first.offset = ka->cur_tsc_offset;
	extra->tsc_set = relay_tsc_set(ka);
	raw_spin_unlock_irqrestore(&ka->tsc_write_lock, flags);
}

void kvm_relay_vm_settle(void *priv, struct kvm_core_vm_extra *extra)
{
	struct kvm *kvm = priv;
	struct kvm_ioapic *ioapic = kvm->arch.vioapic;

	memset(extra, 0, sizeof(*extra));
	extra->old_kvmclock = kvm->arch.boot_vcpu_runs_old_kvmclock;
	extra->hypercall = kvm->arch.hyperv.hv_hypercall;
	settle_pit(kvm, extra);
	settle_pic(kvm, extra);
	settle_tscs(kvm, extra);
	if (!ioapic)
		return;
	spin_lock(&ioapic->lock);
	extra->edges = ioapic->irr & ioapic->irr_delivered;
	settle_rtc(&ioapic->rtc_status, extra);
	spin_unlock(&ioapic->lock);
}

void kvm_relay_vm_clock(void *priv, const struct kvm_core_vm_extra *extra)
{
	struct kvm *kvm = priv;

	kvm->arch.boot_vcpu_runs_old_kvmclock = extra->old_kvmclock;
}

void kvm_relay_vm_go(void *priv, const struct kvm_core_vm_extra *extra)
{
	struct kvm *kvm = priv;

	if (extra->pit_expires)
		hrtimer_start(&kvm->arch.vpit->pit_state.timer,
			      ns_to_ktime(extra->pit_expires), HRTIMER_MODE_ABS);
}

static void adopt_pit(struct kvm *kvm, const struct kvm_core_vm_extra *extra)
{
	struct kvm_pit *pit = kvm->arch.vpit;
	struct kvm_kpit_state *ps;
	int i;

	if (!pit)
		return;
	ps = &pit->pit_state;
	mutex_lock(&ps->lock);
	for (i = 0; i < ARRAY_SIZE(ps->channels); i++)
		ps->channels[i].count_load_time = ns_to_ktime(extra->pit_loaded[i]);
	hrtimer_cancel(&ps->timer);
	kthread_flush_work(&pit->expired);
	atomic_set(&ps->pending, extra->pit_pending);
	if (extra->pit_expires)
		hrtimer_start(&ps->timer, ns_to_ktime(extra->pit_expires),
			      HRTIMER_MODE_ABS);
	mutex_unlock(&ps->lock);
}

/* Their level is in the PICs already; this is for who else raises and lowers the line. */
static void adopt_pic(struct kvm *kvm, const struct kvm_core_vm_extra *extra)
{
	struct kvm_pic *pic = kvm->arch.vpic;
	int i, pin;

	if (!pic)
		return;
	spin_lock(&pic->lock);
	for (i = 0; i < ARRAY_SIZE(pic_sources); i++)
		for (pin = 0; pin < PIC_NUM_PINS; pin++)
			__assign_bit(pic_sources[i], &pic->irq_states[pin],
				     extra->pic_lines[i] & BIT(pin));
	spin_unlock(&pic->lock);
}

/*
 * KVM_VCPU_TSC_OFFSET was a write for each vCPU whose offset is another, which begins
 * a new set of TSCs that match. How many there are in the one is counted: KVM never
 * counts otherwise.
 */
static void adopt_tscs(struct kvm *kvm, const struct kvm_core_vm_extra *extra)
{
	struct kvm_arch *ka = &kvm->arch;
	struct kvm_vcpu *vcpu;
	unsigned long flags, i;
	bool other;
	int match = 0;

	raw_spin_lock_irqsave(&ka->tsc_write_lock, flags);
	ka->kvmclock_offset -= extra->clock_ahead;
	ka->last_tsc_nsec = extra->tsc_last.nsec;
	ka->last_tsc_write = extra->tsc_last.write;
	ka->last_tsc_offset = extra->tsc_last.offset;
	ka->last_tsc_khz = extra->tsc_khz;
	ka->cur_tsc_generation = extra->tsc_first.generation;
	ka->cur_tsc_nsec = extra->tsc_first.nsec;
	ka->cur_tsc_write = extra->tsc_first.write;
	ka->cur_tsc_offset = extra->tsc_first.offset;
	relay_tsc_set_put(ka, extra->tsc_set);
	kvm_for_each_vcpu(i, vcpu, kvm)
		match += vcpu->arch.this_tsc_generation == ka->cur_tsc_generation;
	match = max(match - 1, 0);
	other = ka->nr_vcpus_matched_tsc != match;
	ka->nr_vcpus_matched_tsc = match;
	raw_spin_unlock_irqrestore(&ka->tsc_write_lock, flags);
	/* Otherwise KVM has asked for it where it has to be. */
	if (!other)
		return;
	kvm_for_each_vcpu(i, vcpu, kvm)
		kvm_make_request(KVM_REQ_MASTERCLOCK_UPDATE, vcpu);
}

/*
 * KVM_SET_IRQCHIP has taken whatever has the RTC's vector for one of its interrupts, and
 * has none of those that came before the guest changed the vector. KVM warns of fewer
 * owed than there are vCPUs in the map.
 */
static void adopt_rtc(struct kvm *kvm, const struct kvm_core_vm_extra *extra)
{
	struct rtc_status *rtc = &kvm->arch.vioapic->rtc_status;
	u32 owed = 0, all = 0;
	struct kvm_vcpu *vcpu;
	unsigned long i;

	kvm_for_each_vcpu(i, vcpu, kvm) {
		bool owes = test_bit(vcpu->vcpu_id, extra->rtc_map);

		__assign_bit(vcpu->vcpu_id, rtc->dest_map.map, owes);
		rtc->dest_map.vectors[vcpu->vcpu_id] = extra->rtc_vectors[vcpu->vcpu_id];
		owed += owes;
		all++;
	}
	rtc->pending_eoi = clamp(extra->rtc_owed, owed, all);
}

/*
 * KVM_GET_IRQCHIP shows such pins as low, so that their edge is not delivered again. They
 * are high all the same: no other edge comes until they were low.
 */
void kvm_relay_vm_adopt(void *priv, const struct kvm_core_vm_extra *extra)
{
	struct kvm *kvm = priv;
	struct kvm_ioapic *ioapic = kvm->arch.vioapic;

	if (ioapic) {
		spin_lock(&ioapic->lock);
		ioapic->irr |= extra->edges;
		ioapic->irr_delivered |= extra->edges;
		adopt_rtc(kvm, extra);
		spin_unlock(&ioapic->lock);
	}
	/* Its page has been written, which the MSR would do again. */
	kvm->arch.hyperv.hv_hypercall = extra->hypercall;
	adopt_pic(kvm, extra);
	adopt_tscs(kvm, extra);
	adopt_pit(kvm, extra);
}
