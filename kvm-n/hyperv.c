// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instance's part in the handoff of a vCPU, as handoff.c: what it has of Hyper-V and
 * MSRs do not carry.
 */
#include <linux/kvm_host.h>

#include "hyperv.h"
#include "lapic.h"
#include "relay.h"

static struct kvm_vcpu_hv_synic *active_synic(struct kvm_vcpu *vcpu)
{
	struct kvm_vcpu_hv_synic *synic = to_hv_synic(vcpu);

	BUILD_BUG_ON(HV_SYNIC_SINT_COUNT != KVM_CORE_SINTS);
	BUILD_BUG_ON(HV_SYNIC_STIMER_COUNT != KVM_CORE_STIMERS);
	return synic->active ? synic : NULL;
}

/*
 * A timer that expires from here on leaves a note for the source's KVM_RUN, where it is
 * right if the vCPU stays. The target looks at the time by itself.
 */
static void settle_synic(struct kvm_vcpu *vcpu, struct kvm_core_synic *to)
{
	struct kvm_vcpu_hv_synic *synic = active_synic(vcpu);
	int i;

	if (!synic)
		return;
	for (i = 0; i < KVM_CORE_SINTS; i++)
		to->gsi[i] = atomic_read(&synic->sint_to_gsi[i]);
	for (i = 0; i < KVM_CORE_STIMERS; i++) {
		const struct kvm_vcpu_hv_stimer *timer = to_hv_stimer(vcpu, i);

		to->expires[i] = timer->exp_time;
		to->owed |= timer->msg_pending ? BIT(i) : 0;
	}
}

/*
 * KVM_SET_MSRS has stopped the timers, and made a note of those that are enabled: KVM_RUN
 * starts them by the time that is set here, or has them expire. The routes were set when
 * there was no vCPU yet that a SINT could have been of.
 */
static void adopt_synic(struct kvm_vcpu *vcpu, const struct kvm_core_synic *from)
{
	struct kvm_vcpu_hv_synic *synic = active_synic(vcpu);
	int i;

	if (!synic)
		return;
	for (i = 0; i < KVM_CORE_SINTS; i++)
		atomic_set(&synic->sint_to_gsi[i], from->gsi[i]);
	for (i = 0; i < KVM_CORE_STIMERS; i++) {
		struct kvm_vcpu_hv_stimer *timer = to_hv_stimer(vcpu, i);

		timer->exp_time = from->expires[i];
		timer->msg_pending = from->owed & BIT(i);
	}
}

void kvm_relay_hyperv_settle(struct kvm_vcpu *vcpu, struct kvm_core_vcpu_extra *extra)
{
	if (!to_hv_vcpu(vcpu))
		return;
	extra->assist_page = to_hv_vcpu(vcpu)->hv_vapic;
	settle_synic(vcpu, &extra->synic);
}

/*
 * The assist page is where KVM looks for the flag that replaces an EOI. The MSR would clear
 * it, in memory that may not be there; it is clear when the vCPU has left the guest.
 */
static void adopt_assist_page(struct kvm_vcpu *vcpu, u64 page)
{
	to_hv_vcpu(vcpu)->hv_vapic = page;
	if (page & HV_X64_MSR_VP_ASSIST_PAGE_ENABLE)
		kvm_lapic_set_pv_eoi(vcpu, (page & HV_X64_MSR_VP_ASSIST_PAGE_ADDRESS_MASK) |
				     KVM_MSR_ENABLED, sizeof(struct hv_vp_assist_page));
}

void kvm_relay_hyperv_adopt(struct kvm_vcpu *vcpu, const struct kvm_core_vcpu_extra *extra)
{
	if (!to_hv_vcpu(vcpu))
		return;
	adopt_assist_page(vcpu, extra->assist_page);
	adopt_synic(vcpu, &extra->synic);
}
