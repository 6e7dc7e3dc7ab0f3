// SPDX-License-Identifier: GPL-2.0-only
/*
 * What VMX has once: VMXON, the current VMCS of a CPU, VPIDs; and the host's
 * one word about L1TF.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/bitmap.h>
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/spinlock.h>
#include <asm/cpufeature.h>
#include <asm/io.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/tlbflush.h>
#include <asm/vmx.h>

#include "core.h"
#include "cpu.h"

#define VPID_NR BIT(16)

/*
 * The VMCS that VMPTRLD made current on this CPU, of whichever instance.
 * Written on its CPU with preemption disabled.
 */
DEFINE_PER_CPU(struct vmcs *, kvm_core_current_vmcs);
EXPORT_PER_CPU_SYMBOL_GPL(kvm_core_current_vmcs);

/* VMXON regions, of all possible CPUs or of none; set once, under core_lock. */
static DEFINE_PER_CPU(struct page *, vmx_area);
static bool vmx_areas;

/* vpid_used. */
static DEFINE_SPINLOCK(vpid_lock);
static DECLARE_BITMAP(vpid_used, VPID_NR);

/* What each instance said of L1TF is in its core_instance. */
static DEFINE_SPINLOCK(l1tf_lock);

/**
 * core_vmx_supported - does the CPU have VMX, and does firmware allow it
 *
 * Context: any.
 */
bool core_vmx_supported(void)
{
	return boot_cpu_has(X86_FEATURE_MSR_IA32_FEAT_CTL) &&
	       boot_cpu_has(X86_FEATURE_VMX);
}

/**
 * kvm_core_vmx_setup - prepare VMXON on every possible CPU
 *
 * Context: process; sleeps.
 * Return: 0 or -ENOMEM.
 */
int kvm_core_vmx_setup(void)
{
	u64 basic;
	int cpu;
	int r = 0;

	rdmsrl(MSR_IA32_VMX_BASIC, basic);

	mutex_lock(&core_lock);
	if (vmx_areas)
		goto out;
	for_each_possible_cpu(cpu) {
		struct page *page;

		page = alloc_pages_node(cpu_to_node(cpu),
					GFP_KERNEL | __GFP_ZERO, 0);
		if (!page) {
			r = -ENOMEM;
			goto out;
		}
		*(u32 *)page_address(page) = basic & 0x7fffffff;
		if (per_cpu(vmx_area, cpu))
			__free_page(per_cpu(vmx_area, cpu));
		per_cpu(vmx_area, cpu) = page;
	}
	vmx_areas = true;
out:
	mutex_unlock(&core_lock);
	return r;
}
EXPORT_SYMBOL_GPL(kvm_core_vmx_setup);

/**
 * core_vmx_enable - VMXON on this CPU
 *
 * Context: interrupts disabled.
 * Return: 0, -EBUSY if CR4.VMXE is set already, -EFAULT if VMXON faults.
 */
int core_vmx_enable(void)
{
	u64 area;

	if (WARN_ON_ONCE(!__this_cpu_read(vmx_area)))
		return -EFAULT;
	if (cr4_read_shadow() & X86_CR4_VMXE)
		return -EBUSY;

	area = page_to_phys(__this_cpu_read(vmx_area));
	__this_cpu_write(kvm_core_current_vmcs, NULL);
	intel_pt_handle_vmx(1);
	cr4_set_bits(X86_CR4_VMXE);
	asm goto("1: vmxon %[area]\n\t"
		 _ASM_EXTABLE(1b, %l[fault])
		 : : [area] "m"(area) : "cc", "memory" : fault);
	return 0;

fault:
	cr4_clear_bits(X86_CR4_VMXE);
	intel_pt_handle_vmx(0);
	pr_err("VMXON faulted on CPU %d\n", smp_processor_id());
	return -EFAULT;
}

/* -EIO if it faults. VMX is off then too. */
static int vmx_off(void)
{
	int r = 0;

	asm goto("1: vmxoff\n\t"
		 _ASM_EXTABLE(1b, %l[fault])
		 : : : "cc", "memory" : fault);
	goto out;
fault:
	r = -EIO;
out:
	cr4_clear_bits(X86_CR4_VMXE);
	return r;
}

/**
 * core_vmx_disable - VMXOFF on this CPU
 *
 * Every instance has cleared its VMCSs of this CPU.
 *
 * Context: interrupts disabled.
 */
void core_vmx_disable(void)
{
	WARN_ON_ONCE(vmx_off() && !kvm_rebooting);
	__this_cpu_write(kvm_core_current_vmcs, NULL);
	intel_pt_handle_vmx(0);
}

/**
 * core_vmx_emergency_off - VMXOFF in a crash or emergency reboot
 *
 * Context: any, NMI included; interrupts disabled.
 */
void core_vmx_emergency_off(void)
{
	if (__read_cr4() & X86_CR4_VMXE)
		vmx_off();
}

/**
 * kvm_core_vpid_get - take a VPID
 * @inst: the user
 *
 * The taker flushes what the TLBs may still hold under it, as after any reuse.
 *
 * Context: any but NMI.
 * Return: 1 to 65535, or 0 if none is left: the vCPU then runs without.
 */
int kvm_core_vpid_get(struct kvm_core_instance *inst)
{
	unsigned long flags;
	unsigned int vpid;

	spin_lock_irqsave(&vpid_lock, flags);
	vpid = find_next_zero_bit(vpid_used, VPID_NR, 1);
	if (vpid < VPID_NR)
		__set_bit(vpid, vpid_used);
	else
		vpid = 0;
	spin_unlock_irqrestore(&vpid_lock, flags);
	return vpid;
}
EXPORT_SYMBOL_GPL(kvm_core_vpid_get);

/**
 * kvm_core_vpid_put - give a VPID back
 * @inst: the user
 * @vpid: from kvm_core_vpid_get(), not 0
 *
 * Context: any but NMI.
 */
void kvm_core_vpid_put(struct kvm_core_instance *inst, int vpid)
{
	unsigned long flags;

	spin_lock_irqsave(&vpid_lock, flags);
	WARN_ONCE(!__test_and_clear_bit(vpid, vpid_used),
		  "%s gave back VPID %d, which was free\n", inst->name, vpid);
	core_check_vpid_freed(vpid);
	spin_unlock_irqrestore(&vpid_lock, flags);
}
EXPORT_SYMBOL_GPL(kvm_core_vpid_put);

/* The weaker a state protects, the later it stands. */
static const u8 l1tf_order[] = {
	VMENTER_L1D_FLUSH_NOT_REQUIRED,
	VMENTER_L1D_FLUSH_ALWAYS,
	VMENTER_L1D_FLUSH_COND,
	VMENTER_L1D_FLUSH_EPT_DISABLED,
	VMENTER_L1D_FLUSH_NEVER,
};

static int l1tf_rank(int state)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(l1tf_order); i++)
		if (l1tf_order[i] == state)
			return i;
	return -1;
}

static void l1tf_publish(void)
{
	int state = VMENTER_L1D_FLUSH_AUTO;
	struct core_instance *ci;

	lockdep_assert_held(&l1tf_lock);
	rcu_read_lock();
	list_for_each_entry_rcu(ci, &core_instances, link)
		if (l1tf_rank(ci->l1tf) > l1tf_rank(state))
			state = ci->l1tf;
	rcu_read_unlock();
	l1tf_vmx_mitigation = state;
}

/**
 * kvm_core_l1tf - an instance's L1TF mitigation
 * @inst: the instance
 * @state: enum vmx_l1d_flush_state
 *
 * The host's sysfs shows the weakest state of all instances.
 *
 * Context: any but NMI.
 * Return: @state.
 */
int kvm_core_l1tf(struct kvm_core_instance *inst, int state)
{
	struct core_instance *ci = core_of(inst);
	unsigned long flags;

	spin_lock_irqsave(&l1tf_lock, flags);
	ci->l1tf = state;
	l1tf_publish();
	spin_unlock_irqrestore(&l1tf_lock, flags);
	return state;
}
EXPORT_SYMBOL_GPL(kvm_core_l1tf);

/**
 * core_vmx_forget - an instance that left the list goes
 * @ci: the instance
 *
 * Context: process.
 */
void core_vmx_forget(struct core_instance *ci)
{
	unsigned long flags;

	if (ci->inst->vendor != KVM_CORE_INTEL)
		return;
	spin_lock_irqsave(&l1tf_lock, flags);
	l1tf_publish();
	spin_unlock_irqrestore(&l1tf_lock, flags);
}

/**
 * core_vmx_exit - free what kvm_core_vmx_setup() made
 *
 * Context: process; no instance is left.
 */
void core_vmx_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		if (per_cpu(vmx_area, cpu))
			__free_page(per_cpu(vmx_area, cpu));
}
