// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry checks, a debugging aid (entry_checks=1): before each VM entry, are the
 * save area, the current VMCS, the ASID, the VPID and the TSC offset this CPU's and
 * this VM's?
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <asm/io.h>
#include <asm/msr.h>
#include <asm/svm.h>

#include "core.h"
#include "cpu.h"

#define VPID_NR BIT(16)

bool core_entry_checks;

/* The vCPU that took an ASID of this generation; on its CPU, IRQs disabled. */
static DEFINE_PER_CPU(const void **, check_asids);
static DEFINE_PER_CPU(u32, check_asids_nr);
/* The vCPU that entered with a VPID since it was taken; cmpxchg(). */
static const void **check_vpids;

static void check_failed(struct kvm_core_instance *inst, const char *what,
			 u64 found, u64 expected)
{
	WARN_ONCE(1, "%s: CPU %d: %s is %#llx, expected %#llx\n", inst->name,
		  smp_processor_id(), what, found, expected);
	kvm_core_fail(inst, what);
}

/**
 * core_check_asid_given - remember who got an ASID
 * @asid: the ASID
 * @vcpu: whose it is until the generation of this CPU ends
 *
 * Context: interrupts disabled.
 */
void core_check_asid_given(u32 asid, const void *vcpu)
{
	const void **owners = __this_cpu_read(check_asids);

	if (asid < __this_cpu_read(check_asids_nr))
		owners[asid] = vcpu;
}

/**
 * core_check_vpid_freed - a VPID has no owner any more
 * @vpid: the VPID
 *
 * Context: any.
 */
void core_check_vpid_freed(int vpid)
{
	if (check_vpids)
		WRITE_ONCE(check_vpids[vpid], NULL);
}

/**
 * kvm_core_check_svm - check before VMRUN
 * @inst: whose vCPU it is
 * @vcpu: only its address counts
 * @save_area_pa: where the instance will find the host's state afterwards
 * @asid: of the VMCB
 * @generation: of the VMCB; if it is not this CPU's, a new ASID comes first
 *
 * Context: interrupts disabled.
 */
void kvm_core_check_svm(struct kvm_core_instance *inst, const void *vcpu,
			u64 save_area_pa, u32 asid, u64 generation)
{
	struct kvm_core_svm *cs = this_cpu_ptr(&kvm_core_svm);
	u64 expected = __sme_set(page_to_phys(cs->save_area));
	const void *owner;
	u64 value;

	/* VMRUN is about to fault, and KVM expects it. */
	if (READ_ONCE(kvm_rebooting))
		return;
	rdmsrl(MSR_VM_HSAVE_PA, value);
	if (value != expected)
		check_failed(inst, "VM_HSAVE_PA", value, expected);
	if (save_area_pa != expected)
		check_failed(inst, "the instance's save area", save_area_pa,
			     expected);
	rdmsrl(MSR_EFER, value);
	if (!(value & EFER_SVME))
		check_failed(inst, "EFER", value, value | EFER_SVME);
	if (generation != cs->asid_generation || asid < cs->min_asid ||
	    asid >= __this_cpu_read(check_asids_nr))
		return;
	owner = __this_cpu_read(check_asids)[asid];
	if (owner != vcpu)
		check_failed(inst, "the owner of the ASID",
			     (unsigned long)owner, (unsigned long)vcpu);
}
EXPORT_SYMBOL_GPL(kvm_core_check_svm);

/**
 * kvm_core_check_vmx - check before VMLAUNCH or VMRESUME
 * @inst: whose vCPU it is
 * @vcpu: only its address counts
 * @vmcs: what the instance believes to be current
 * @vpid: of the VMCS, 0 if it has none
 *
 * Context: interrupts disabled.
 */
void kvm_core_check_vmx(struct kvm_core_instance *inst, const void *vcpu,
			const struct vmcs *vmcs, int vpid)
{
	const void *owner;
	u64 current_pa;

	/* VMX is off, or will be; faults are expected. */
	if (READ_ONCE(kvm_rebooting))
		return;
	if (__this_cpu_read(kvm_core_current_vmcs) != vmcs)
		check_failed(inst, "the current VMCS",
			     (unsigned long)__this_cpu_read(kvm_core_current_vmcs),
			     (unsigned long)vmcs);
	asm volatile("vmptrst %0" : "=m"(current_pa) : : "cc");
	if (current_pa != __pa(vmcs))
		check_failed(inst, "VMPTRST", current_pa, __pa(vmcs));
	if (vpid <= 0 || vpid >= VPID_NR)
		return;
	owner = cmpxchg(&check_vpids[vpid], NULL, vcpu);
	if (owner && owner != vcpu)
		check_failed(inst, "the owner of the VPID",
			     (unsigned long)owner, (unsigned long)vcpu);
}
EXPORT_SYMBOL_GPL(kvm_core_check_vmx);

/**
 * kvm_core_check_tsc_offset - check that the guest gets its own time
 * @inst: whose vCPU it is
 * @found: in the VMCB or VMCS that is about to be entered
 * @expected: what KVM computes the guest's timers and kvmclock with
 *
 * Context: interrupts disabled.
 */
void kvm_core_check_tsc_offset(struct kvm_core_instance *inst, u64 found,
			       u64 expected)
{
	/* There is no VMCS to read from once VMX is off. */
	if (READ_ONCE(kvm_rebooting))
		return;
	if (found != expected)
		check_failed(inst, "the TSC offset", found, expected);
}
EXPORT_SYMBOL_GPL(kvm_core_check_tsc_offset);

/**
 * kvm_core_check_pi - check that interrupts are posted where the vCPU's are looked for
 * @inst: whose vCPU it is
 * @found: address of a posted-interrupt descriptor in the VMCS that is about to be entered
 * @expected: that of the vCPU's
 *
 * Context: interrupts disabled.
 */
void kvm_core_check_pi(struct kvm_core_instance *inst, u64 found, u64 expected)
{
	if (READ_ONCE(kvm_rebooting))
		return;
	if (found != expected)
		check_failed(inst, "the posted-interrupt descriptor", found, expected);
}
EXPORT_SYMBOL_GPL(kvm_core_check_pi);

/**
 * core_check_init - allocate the tables of owners
 * @on: are the checks wanted
 *
 * Context: process; sleeps.
 * Return: 0 or -ENOMEM.
 */
int core_check_init(bool on)
{
	int cpu;

	if (!on)
		return 0;
	if (core_vmx_supported()) {
		check_vpids = kvcalloc(VPID_NR, sizeof(*check_vpids),
				       GFP_KERNEL);
		if (!check_vpids)
			return -ENOMEM;
	} else {
		u32 nr = cpuid_ebx(0x8000000a);

		for_each_possible_cpu(cpu) {
			per_cpu(check_asids, cpu) =
				kvcalloc(nr, sizeof(void *), GFP_KERNEL);
			if (!per_cpu(check_asids, cpu)) {
				core_check_exit();
				return -ENOMEM;
			}
			per_cpu(check_asids_nr, cpu) = nr;
		}
	}
	core_entry_checks = true;
	pr_info("entry checks are on\n");
	return 0;
}

/**
 * core_check_exit - undo core_check_init()
 *
 * Context: process; no instance is left.
 */
void core_check_exit(void)
{
	int cpu;

	kvfree(check_vpids);
	check_vpids = NULL;
	for_each_possible_cpu(cpu) {
		kvfree(per_cpu(check_asids, cpu));
		per_cpu(check_asids, cpu) = NULL;
	}
}
