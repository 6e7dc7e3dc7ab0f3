// SPDX-License-Identifier: GPL-2.0-only
/*
 * What only an instance for VMX has.
 */
#include <linux/kvm_host.h>
#include <asm/apic.h>
#include <asm/irq.h>
#include <asm/irq_vectors.h>

#include "irq.h"
#include "lapic.h"
#include "x86.h"
#include "vmx/nested.h"
#include "vmx/posted_intr.h"
#include "vmx/vmx.h"
#include "vmx/vmx_ops.h"
#include "relay.h"

/* VMX_MISC_EMULATED_PREEMPTION_TIMER_RATE of KVM: TSC to timer, as a shift */
#define L2_TIMER_SHIFT 5

enum vmx_l1d_flush_state kvm_relay_l1tf;

WRAP(kvm_set_posted_intr_wakeup_handler);

void __wrap_kvm_set_posted_intr_wakeup_handler(void (*handler)(void))
{
	kvm_core_wakeup_set(&kvm_relay_instance, handler);
}

void kvm_relay_check_entry(struct kvm_vcpu *vcpu)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	kvm_core_check_vmx(&kvm_relay_instance, vcpu, vmx->loaded_vmcs->vmcs,
			   is_guest_mode(vcpu) ? vmx->nested.vpid02 : vmx->vpid);
	kvm_core_check_tsc_offset(&kvm_relay_instance, vmcs_read64(TSC_OFFSET),
				  vcpu->arch.tsc_offset);
	if (!is_guest_mode(vcpu) && pin_controls_get(vmx) & PIN_BASED_POSTED_INTR)
		kvm_core_check_pi(&kvm_relay_instance,
				  vmcs_read64(POSTED_INTR_DESC_ADDR),
				  __pa(vmx->pi_desc));
}

void kvm_relay_settle(struct kvm_vcpu *vcpu, struct kvm_core_vcpu_extra *extra)
{
	/*
	 * Of the VMCS in which it runs. Where HLT makes an exit, and in any other, it is
	 * always active.
	 */
	extra->activity = vmcs_read32(GUEST_ACTIVITY_STATE);
	/* Records of branches are perf's, in an event that belongs to the vCPU's thread. */
	extra->branches = vcpu_to_lbr_desc(vcpu)->event;
	/* Those of the guest's guest are in its VMCS, which KVM_GET_NESTED_STATE has. */
	if (!is_guest_mode(vcpu))
		extra->pending_dbg = vmcs_readl(GUEST_PENDING_DBG_EXCEPTIONS);
	else if (to_vmx(vcpu)->nested.preemption_timer_expired)
		extra->waiting |= KVM_CORE_VCPU_L2_TIMER;
}

/*
 * A vCPU with such an event stays where it is. Without one, the guest may still have asked
 * for records that KVM could not make, and KVM_SET_MSRS tries it anew: an event of the
 * handoff's thread would end with it. The guest's next access to the records tries again.
 */
static void drop_branches(struct kvm_vcpu *vcpu)
{
	struct lbr_desc *lbr = vcpu_to_lbr_desc(vcpu);

	if (!lbr->event || !(current->flags & PF_KTHREAD))
		return;
	perf_event_release_kernel(lbr->event);
	lbr->event = NULL;
	vcpu_to_pmu(vcpu)->event_count--;
	__clear_bit(INTEL_PMC_IDX_FIXED_VLBR, vcpu_to_pmu(vcpu)->pmc_in_use);
}

/*
 * KVM_SET_NESTED_STATE computes what is left of a preemption timer, and finds a deadline
 * that has passed far in the future. An interrupt that was posted for the guest's guest
 * and not yet looked at is in the guest's memory; looking there without one does nothing.
 */
static void adopt_nested(struct vcpu_vmx *vmx, bool expired)
{
	struct vmcs12 *vmcs12 = get_vmcs12(&vmx->vcpu);
	u64 now = kvm_read_l1_tsc(&vmx->vcpu, rdtsc()) >> L2_TIMER_SHIFT;

	if (nested_cpu_has_posted_intr(vmcs12)) {
		vmx->nested.pi_pending = true;
		kvm_make_request(KVM_REQ_EVENT, &vmx->vcpu);
	}
	if (!nested_cpu_has_preemption_timer(vmcs12) ||
	    !vmx->nested.has_preemption_timer_deadline)
		return;
	if (expired || vmx->nested.preemption_timer_deadline <= now) {
		hrtimer_cancel(&vmx->nested.preemption_timer);
		vmx->nested.preemption_timer_expired = true;
		kvm_make_request(KVM_REQ_EVENT, &vmx->vcpu);
	}
}

void kvm_relay_adopt(struct kvm_vcpu *vcpu, const struct kvm_core_vcpu_extra *extra)
{
	drop_branches(vcpu);
	if (kvm_hlt_in_guest(vcpu->kvm) && extra->activity == GUEST_ACTIVITY_HLT)
		vmcs_write32(GUEST_ACTIVITY_STATE, GUEST_ACTIVITY_HLT);
	if (is_guest_mode(vcpu))
		adopt_nested(to_vmx(vcpu), extra->waiting & KVM_CORE_VCPU_L2_TIMER);
	else
		vmcs_writel(GUEST_PENDING_DBG_EXCEPTIONS, extra->pending_dbg);
}

/* Field of the VMCS in which the guest runs, while another may be current. */
static void tell_vmcs(struct vcpu_vmx *vmx)
{
	struct loaded_vmcs *now = vmx->loaded_vmcs;
	int cpu = smp_processor_id();

	if (now != &vmx->vmcs01) {
		vmx->loaded_vmcs = &vmx->vmcs01;
		vmx_vcpu_load_vmcs(&vmx->vcpu, cpu, now);
	}
	vmcs_write64(POSTED_INTR_DESC_ADDR, __pa(vmx->pi_desc));
	if (now != &vmx->vmcs01) {
		vmx->loaded_vmcs = now;
		vmx_vcpu_load_vmcs(&vmx->vcpu, cpu, &vmx->vmcs01);
	}
}

/*
 * Notifications come to this CPU from here on, as vcpu_load() has told it the
 * descriptor before. One that came to another CPU, or to none, has left ON, which
 * the next entry looks at; for what came while notifications were suppressed it is
 * set here.
 */
static void steer(struct pi_desc *pi)
{
	u32 apicid = cpu_physical_id(smp_processor_id());
	struct pi_desc old, new;

	old.control = READ_ONCE(pi->control);
	do {
		new.control = old.control;
		new.nv = POSTED_INTR_VECTOR;
		new.ndst = x2apic_mode ? apicid : (apicid & 0xff) << 8;
		new.control &= ~BIT_ULL(POSTED_INTR_SN);
	} while (!try_cmpxchg64(&pi->control, &old.control, new.control));
	/* Notifications are on before it is looked at what came without. */
	smp_mb__after_atomic();
	if (!pi_is_pir_empty(pi))
		pi_set_on(pi);
}

/* An instance that does not look at descriptors takes what is there once. */
static void drain(struct kvm_vcpu *vcpu, struct pi_desc *pi)
{
	int max;

	pi_clear_on(pi);
	/* Before the bits: one that is posted now sets it again. */
	smp_mb__after_atomic();
	if (lapic_in_kernel(vcpu) && kvm_apic_update_irr(vcpu, pi->pir, &max))
		kvm_make_request(KVM_REQ_EVENT, vcpu);
}

/* The vCPU, and all that hardware reads of it, has @pi. */
static void have(struct kvm_vcpu *vcpu, struct pi_desc *pi, bool live)
{
	struct vcpu_vmx *vmx = to_vmx(vcpu);

	vcpu_load(vcpu);
	if (!enable_apicv || !lapic_in_kernel(vcpu)) {
		if (live)
			drain(vcpu, pi);
		vmx->pi_desc = pi;
		vcpu_put(vcpu);
		return;
	}
	/* What was injected while the state was set is in this vCPU's own. */
	if (live)
		static_call_cond(kvm_x86_sync_pir_to_irr)(vcpu);
	preempt_disable();
	vmx->pi_desc = pi;
	tell_vmcs(vmx);
	steer(pi);
	if (vmx_can_use_ipiv(vcpu))
		WRITE_ONCE(to_kvm_vmx(vcpu->kvm)->pid_table[vcpu->vcpu_id],
			   __pa(pi) | PID_TABLE_ENTRY_VALID);
	preempt_enable();
	vcpu_put(vcpu);
}

void *kvm_relay_vcpu_pi(void *priv, void *pi, enum kvm_core_pi_use use)
{
	struct kvm_vcpu *vcpu = priv;
	struct vcpu_vmx *vmx = to_vmx(vcpu);
	void *former = vmx->pi_desc;

	if (!pi)
		return former;
	/* On no list of those to wake: a vCPU that stands still is not halted. */
	WARN_ON_ONCE(vmx->pi_desc->nv == POSTED_INTR_WAKEUP_VECTOR);
	if (use == KVM_CORE_PI_ASIDE)
		vmx->pi_desc = pi;
	else
		have(vcpu, pi, use == KVM_CORE_PI_LIVE);
	return former;
}

/* A halted vCPU is woken by a posted interrupt only where a device may post one. */
int kvm_relay_vm_posted(void *priv, bool on)
{
	struct kvm *kvm = priv;

	if (!enable_apicv || !irqchip_in_kernel(kvm) || !kvm_core_irq_posting())
		return -EOPNOTSUPP;
	if (on)
		kvm_arch_start_assignment(kvm);
	else
		kvm_arch_end_assignment(kvm);
	return 0;
}

/* They post to the descriptor, which goes along. */
bool kvm_relay_posts_to_lapic(struct kvm *kvm)
{
	return false;
}
