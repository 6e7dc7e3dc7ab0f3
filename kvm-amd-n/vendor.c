// SPDX-License-Identifier: GPL-2.0-only
/*
 * What only an instance for SVM has.
 */
/* amd-iommu.h uses it without including it. */
#include <linux/errno.h>
#include <linux/amd-iommu.h>
#include <linux/kvm_host.h>
#include <linux/misc_cgroup.h>
#include <linux/psp-sev.h>
#include <asm/irq_remapping.h>
#include <asm/vmx.h>

#include "irq.h"
#include "mmu.h"
#include "x86.h"
#include "svm/svm.h"
#include "relay.h"
#include "compat.h"

/* Named by code that both vendors share; on AMD it stays what it is. */
enum vmx_l1d_flush_state kvm_relay_l1tf;

WRAP(amd_iommu_register_ga_log_notifier);
WRAP(misc_cg_set_capacity);

int __wrap_amd_iommu_register_ga_log_notifier(int (*notifier)(u32 tag))
{
	return kvm_core_ga_log_set(&kvm_relay_instance, notifier);
}

int __wrap_misc_cg_set_capacity(enum misc_res_type type, relay_capacity capacity)
{
	return kvm_core_misc_cg_set_capacity(&kvm_relay_instance, type,
					     capacity);
}

static bool __maybe_unused last_of_sev(void)
{
	return kvm_core_sev_last(&kvm_relay_instance);
}

WRAP_SEV_SHUTDOWN(last_of_sev)

void kvm_relay_check_entry(struct kvm_vcpu *vcpu)
{
	struct svm_cpu_data *sd = per_cpu_ptr(&svm_data, vcpu->cpu);
	struct vcpu_svm *svm = to_svm(vcpu);

	/* On another CPU than before, the run path itself resets this. */
	kvm_core_check_svm(&kvm_relay_instance, svm, sd->save_area_pa,
			   svm->asid,
			   svm->current_vmcb->cpu == vcpu->cpu ?
			   svm->current_vmcb->asid_generation : 0);
	kvm_core_check_tsc_offset(&kvm_relay_instance,
				  svm->vmcb->control.tsc_offset,
				  vcpu->arch.tsc_offset);
}

/**
 * kvm_relay_shut_down - INIT of a vCPU whose guest has shut down
 * @vcpu: with an empty VMCB
 *
 * kvm_vcpu_reset() warns of a vCPU that is in SMM, which only some releases of KVM take
 * out of it before. It leaves the VMCB without the guest's TSC offset: a vCPU that goes
 * on without being told the time would have the host's.
 *
 * Context: process context, may sleep; the vCPU is loaded.
 */
void kvm_relay_shut_down(struct kvm_vcpu *vcpu)
{
	struct vcpu_svm *svm = to_svm(vcpu);
	const bool smm = is_smm(vcpu);

	/* The others go with the reset, which does not look at the MMU's role. */
	vcpu->arch.hflags &= ~HF_SMM_MASK;
	kvm_vcpu_reset(vcpu, true);
	if (smm)
		kvm_mmu_reset_context(vcpu);
	/* It has left guest mode. */
	vcpu->arch.tsc_offset = vcpu->arch.l1_tsc_offset;
	svm->vmcb->control.tsc_offset = vcpu->arch.tsc_offset;
	vmcb_mark_dirty(svm->vmcb, VMCB_INTERCEPTS);
}

/* Where svm_get_lbr_msr() looks. */
static struct vmcb *branches_in(struct vcpu_svm *svm)
{
	return svm->vmcb->control.virt_ext & LBR_CTL_ENABLE_MASK ?
	       svm->vmcb : svm->vmcb01.ptr;
}

/*
 * VMRUN leaves DR7 in the VMCB of the guest's guest alone, where the CPU finds it and
 * KVM_GET_DEBUGREGS does not look.
 */
static void settle_dr7(struct kvm_vcpu *vcpu)
{
	if (is_guest_mode(vcpu) && !(vcpu->guest_debug & KVM_GUESTDBG_USE_HW_BP))
		vcpu->arch.dr7 = to_svm(vcpu)->vmcb->save.dr7;
}

void kvm_relay_settle(struct kvm_vcpu *vcpu, struct kvm_core_vcpu_extra *extra)
{
	const struct vmcb_save_area *save = &branches_in(to_svm(vcpu))->save;
	const struct vcpu_svm *svm = to_svm(vcpu);

	settle_dr7(vcpu);
	extra->branch[0] = save->br_from;
	extra->branch[1] = save->br_to;
	extra->branch[2] = save->last_excp_from;
	extra->branch[3] = save->last_excp_to;
	extra->soft_int[0] = svm->soft_int_old_rip;
	extra->soft_int[1] = svm->soft_int_next_rip;
}

/*
 * KVM_SET_NESTED_STATE takes them from the RIP of the VMCB, which no KVM_RUN has written
 * yet, and so does it for the CPU where the guest has no NRIPS.
 */
static void adopt_soft_int(struct vcpu_svm *svm, const struct kvm_core_vcpu_extra *extra)
{
	svm->soft_int_old_rip = extra->soft_int[0];
	svm->soft_int_next_rip = extra->soft_int[1];
	if (svm->soft_int_injected && boot_cpu_has(X86_FEATURE_NRIPS))
		svm->vmcb->control.next_rip = svm->soft_int_next_rip;
}

void kvm_relay_adopt(struct kvm_vcpu *vcpu, const struct kvm_core_vcpu_extra *extra)
{
	struct vmcb *vmcb = branches_in(to_svm(vcpu));

	vmcb->save.br_from = extra->branch[0];
	vmcb->save.br_to = extra->branch[1];
	vmcb->save.last_excp_from = extra->branch[2];
	vmcb->save.last_excp_to = extra->branch[3];
	vmcb_mark_dirty(vmcb, VMCB_LBR);
	adopt_soft_int(to_svm(vcpu), extra);
}

/*
 * AVIC has no descriptor beside the vCPU's backing page, which is its LAPIC: it is
 * the instance's.
 */
void *kvm_relay_vcpu_pi(void *vcpu, void *pi, enum kvm_core_pi_use use)
{
	return NULL;
}

int kvm_relay_vm_posted(void *vm, bool on)
{
	return -EOPNOTSUPP;
}

/* By AVIC: the IOMMU sets bits of the IRR in the vCPU's backing page. */
bool kvm_relay_posts_to_lapic(struct kvm *kvm)
{
	return enable_apicv && irqchip_in_kernel(kvm) &&
	       kvm_arch_has_assigned_device(kvm) &&
	       irq_remapping_cap(IRQ_POSTING_CAP);
}
