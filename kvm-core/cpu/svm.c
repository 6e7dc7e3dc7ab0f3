// SPDX-License-Identifier: GPL-2.0-only
/*
 * What SVM has once: EFER.SVME and the save area, ASIDs, the TSC ratio, the
 * last VMCB of a CPU; AVIC's VM ids; SEV's ASIDs.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/bitmap.h>
#include <linux/cc_platform.h>
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/misc_cgroup.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/slab.h>
#include <asm/cpufeature.h>
#include <asm/io.h>
#include <asm/msr.h>
#include <asm/perf_event.h>
#include <asm/svm.h>

#include "core.h"
#include "cpu.h"

#define SVM_FUNC		0x8000000a
#define SEV_FUNC		0x8000001f
#define TSC_RATIO_ONE		BIT_ULL(32)
/* A GATag has 24 bits for the VM, and 0 is not one. */
#define AVIC_ID_MAX		((1U << 24) - 1)

DEFINE_PER_CPU(struct kvm_core_svm, kvm_core_svm);
EXPORT_PER_CPU_SYMBOL_GPL(kvm_core_svm);

/* MSR_AMD64_TSC_RATIO as it was written last, on its CPU, preemption disabled. */
DEFINE_PER_CPU(u64, kvm_core_tsc_ratio);
EXPORT_PER_CPU_SYMBOL_GPL(kvm_core_tsc_ratio);

/*
 * The two locks of SEV's ASIDs, named by the instances' own code: the first for
 * the bitmaps, the second between DEACTIVATE and the flush before reuse.
 */
DEFINE_MUTEX(kvm_core_sev_bitmap_lock);
EXPORT_SYMBOL_GPL(kvm_core_sev_bitmap_lock);
DECLARE_RWSEM(kvm_core_sev_deactivate_lock);
EXPORT_SYMBOL_GPL(kvm_core_sev_deactivate_lock);

/*
 * How many VMs of SVM the host has, where BP_SPEC_REDUCE is to be set as long as there are
 * any, and what orders the first and the last: named by the instances' own code.
 */
DEFINE_SPINLOCK(kvm_core_srso_lock);
EXPORT_SYMBOL_GPL(kvm_core_srso_lock);
atomic_t kvm_core_srso_vms = ATOMIC_INIT(0);
EXPORT_SYMBOL_GPL(kvm_core_srso_vms);

/* Under kvm_core_sev_bitmap_lock; they stay until kvm-core goes. */
static unsigned long *sev_bitmaps[KVM_CORE_SEV_BITMAPS];
static unsigned int sev_bits;

static DEFINE_IDA(avic_ids);

/**
 * core_svm_supported - does the CPU have SVM, and does firmware allow it
 *
 * Context: any.
 */
bool core_svm_supported(void)
{
	u64 vm_cr;

	if (!boot_cpu_has(X86_FEATURE_SVM) || cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT))
		return false;
	return rdmsrl_safe(MSR_VM_CR, &vm_cr) ||
	       !(vm_cr & SVM_VM_CR_SVM_DIS_MASK);
}

/*
 * Where the host runs SNP guests, a page that stands at a multiple of 2 MiB makes the CPU
 * take the whole of it for the save area.
 */
static struct page *alloc_save_area(int cpu)
{
	const gfp_t gfp = GFP_KERNEL | __GFP_ZERO;
	struct page *page, *other;

	page = alloc_pages_node(cpu_to_node(cpu), gfp, 0);
	if (!page || !IS_ALIGNED(page_to_phys(page), PMD_SIZE))
		return page;
	other = alloc_pages_node(cpu_to_node(cpu), gfp, 0);
	__free_page(page);
	return other;
}

/**
 * core_svm_init - allocate save areas
 *
 * Context: process; sleeps.
 * Return: 0 or -ENOMEM.
 */
int core_svm_init(void)
{
	unsigned int sev_max = 0;
	int cpu;

	if (!core_svm_supported())
		return 0;
	if (boot_cpu_has(X86_FEATURE_SEV))
		sev_max = cpuid_ecx(SEV_FUNC);

	for_each_possible_cpu(cpu) {
		struct kvm_core_svm *cs = per_cpu_ptr(&kvm_core_svm, cpu);

		cs->min_asid = sev_max + 1;
		cs->save_area = alloc_save_area(cpu);
		if (!cs->save_area) {
			core_svm_exit();
			return -ENOMEM;
		}
	}
	return 0;
}

/**
 * core_svm_exit - free what core_svm_init() and instances allocated
 *
 * Context: process; no instance is left.
 */
void core_svm_exit(void)
{
	int cpu, i;

	for_each_possible_cpu(cpu) {
		struct kvm_core_svm *cs = per_cpu_ptr(&kvm_core_svm, cpu);

		if (cs->save_area)
			__free_page(cs->save_area);
		cs->save_area = NULL;
	}
	for (i = 0; i < KVM_CORE_SEV_BITMAPS; i++)
		bitmap_free(sev_bitmaps[i]);
	ida_destroy(&avic_ids);
}

/**
 * kvm_core_save_area - the page of a CPU's VM_HSAVE_PA
 * @cpu: the CPU
 *
 * The instance reads and writes it between VMSAVE and VMLOAD with preemption
 * disabled, and never frees it.
 *
 * Context: any.
 */
struct page *kvm_core_save_area(int cpu)
{
	return per_cpu(kvm_core_svm.save_area, cpu);
}
EXPORT_SYMBOL_GPL(kvm_core_save_area);

/**
 * core_svm_enable - EFER.SVME on this CPU
 *
 * Context: interrupts disabled.
 * Return: 0, or -EBUSY if it is set already.
 */
int core_svm_enable(void)
{
	struct kvm_core_svm *cs = this_cpu_ptr(&kvm_core_svm);
	u64 efer;

	rdmsrl(MSR_EFER, efer);
	if (efer & EFER_SVME)
		return -EBUSY;

	/*
	 * A new generation, and no ASID left of it: whoever ran here before
	 * takes a new one, and the first to do so flushes.
	 */
	cs->asid_generation++;
	cs->max_asid = cpuid_ebx(SVM_FUNC) - 1;
	cs->next_asid = cs->max_asid + 1;
	cs->current_vmcb = NULL;

	wrmsrl(MSR_EFER, efer | EFER_SVME);
	wrmsrl(MSR_VM_HSAVE_PA, __sme_set(page_to_phys(cs->save_area)));

	if (boot_cpu_has(X86_FEATURE_TSCRATEMSR)) {
		wrmsrl(MSR_AMD64_TSC_RATIO, TSC_RATIO_ONE);
		__this_cpu_write(kvm_core_tsc_ratio, TSC_RATIO_ONE);
	}
	amd_pmu_enable_virt();
	return 0;
}

/* INIT and NMIs, which GIF=0 keeps out, are not left so. */
static void svme_off(void)
{
	u64 efer;

	wrmsrl(MSR_VM_HSAVE_PA, 0);
	rdmsrl(MSR_EFER, efer);
	if (!(efer & EFER_SVME))
		return;
	asm goto("1: stgi\n\t"
		 _ASM_EXTABLE(1b, %l[off])
		 : : : "memory" : off);
off:
	wrmsrl(MSR_EFER, efer & ~EFER_SVME);
}

/**
 * core_svm_emergency_off - clear EFER.SVME in a crash or emergency reboot
 *
 * Context: any, NMI included; interrupts disabled.
 */
void core_svm_emergency_off(void)
{
	svme_off();
}

/**
 * core_svm_disable - clear EFER.SVME on this CPU
 *
 * Context: interrupts disabled.
 */
void core_svm_disable(void)
{
	if (boot_cpu_has(X86_FEATURE_TSCRATEMSR) &&
	    __this_cpu_read(kvm_core_tsc_ratio) != TSC_RATIO_ONE) {
		wrmsrl(MSR_AMD64_TSC_RATIO, TSC_RATIO_ONE);
		__this_cpu_write(kvm_core_tsc_ratio, TSC_RATIO_ONE);
	}
	svme_off();
	amd_pmu_disable_virt();
}

/**
 * kvm_core_asid_next - give a vCPU an ASID of this CPU
 * @inst: the instance
 * @vcpu: the vCPU, only its address counts
 * @generation: set to the generation that the ASID is good for
 *
 * Context: interrupts disabled.
 * Return: the ASID in the low 32 bits, and KVM_CORE_ASID_FLUSH if the VMRUN has
 * to flush all ASIDs.
 */
u64 kvm_core_asid_next(struct kvm_core_instance *inst, const void *vcpu,
		       u64 *generation)
{
	struct kvm_core_svm *cs = this_cpu_ptr(&kvm_core_svm);
	u64 flush = 0;
	u32 asid;

	if (cs->next_asid > cs->max_asid) {
		cs->asid_generation++;
		cs->next_asid = cs->min_asid;
		flush = KVM_CORE_ASID_FLUSH;
	}
	*generation = cs->asid_generation;
	asid = cs->next_asid++;
	if (core_entry_checks)
		core_check_asid_given(asid, vcpu);
	return flush | asid;
}
EXPORT_SYMBOL_GPL(kvm_core_asid_next);

/**
 * kvm_core_avic_id_get - take a VM id for GATags
 *
 * Context: any but NMI.
 * Return: the id, or 0 if there is none.
 */
u32 kvm_core_avic_id_get(void)
{
	int id = ida_alloc_range(&avic_ids, 1, AVIC_ID_MAX, GFP_ATOMIC);

	return id < 0 ? 0 : id;
}
EXPORT_SYMBOL_GPL(kvm_core_avic_id_get);

/**
 * kvm_core_avic_id_put - give a VM id back
 * @id: from kvm_core_avic_id_get(), or 0
 *
 * Context: any but NMI.
 */
void kvm_core_avic_id_put(u32 id)
{
	if (id)
		ida_free(&avic_ids, id);
}
EXPORT_SYMBOL_GPL(kvm_core_avic_id_put);

/**
 * kvm_core_sev_bitmap - the host's bitmap of SEV ASIDs
 * @which: in use, or to be reclaimed after a flush
 * @bits: how many ASIDs the instance reckons with, itself read from CPUID
 *
 * Context: process; sleeps.
 * Return: the bitmap, which the instance does not free, or NULL.
 */
unsigned long *kvm_core_sev_bitmap(enum kvm_core_sev_bitmap which,
				   unsigned int bits)
{
	unsigned long *bitmap = NULL;

	mutex_lock(&kvm_core_sev_bitmap_lock);
	if (sev_bits && sev_bits != bits) {
		pr_err("%u SEV ASIDs, but an earlier instance found %u\n", bits,
		       sev_bits);
		goto out;
	}
	if (!sev_bitmaps[which])
		sev_bitmaps[which] = bitmap_zalloc(bits, GFP_KERNEL);
	bitmap = sev_bitmaps[which];
	if (bitmap)
		sev_bits = bits;
out:
	mutex_unlock(&kvm_core_sev_bitmap_lock);
	return bitmap;
}
EXPORT_SYMBOL_GPL(kvm_core_sev_bitmap);

static void sev_capacity_publish(int type)
{
	unsigned long capacity = 0;
	struct core_instance *ci;

	list_for_each_entry(ci, &core_instances, link)
		capacity = max(capacity, ci->sev_capacity[type]);
	misc_cg_set_capacity(type, capacity);
}

/**
 * kvm_core_misc_cg_set_capacity - an instance announces SEV ASIDs, or takes
 *	the announcement back
 * @inst: the instance
 * @type: MISC_CG_RES_SEV or MISC_CG_RES_SEV_ES
 * @capacity: how many; 0 leaves what other instances announced
 *
 * Context: process; sleeps.
 * Return: 0 or -EINVAL.
 */
int kvm_core_misc_cg_set_capacity(struct kvm_core_instance *inst, int type,
				  unsigned long capacity)
{
	struct core_instance *ci = core_of(inst);

	if (type < 0 || type >= ARRAY_SIZE(ci->sev_capacity))
		return -EINVAL;
	mutex_lock(&core_lock);
	ci->sev_capacity[type] = capacity;
	sev_capacity_publish(type);
	mutex_unlock(&core_lock);
	return 0;
}
EXPORT_SYMBOL_GPL(kvm_core_misc_cg_set_capacity);

/**
 * kvm_core_sev_last - is the platform's SEV firmware used by no other instance
 * @inst: an instance that goes
 *
 * Context: process; sleeps.
 */
bool kvm_core_sev_last(struct kvm_core_instance *inst)
{
	struct core_instance *ci;
	bool last = true;

	mutex_lock(&core_lock);
	list_for_each_entry(ci, &core_instances, link)
		if (ci->inst != inst &&
		    (ci->sev_capacity[0] || ci->sev_capacity[1]))
			last = false;
	mutex_unlock(&core_lock);
	return last;
}
EXPORT_SYMBOL_GPL(kvm_core_sev_last);

/**
 * core_svm_forget - an instance that left the list goes
 * @ci: the instance
 *
 * Context: process; sleeps.
 */
void core_svm_forget(struct core_instance *ci)
{
	int type;

	if (ci->inst->vendor != KVM_CORE_AMD)
		return;
	mutex_lock(&core_lock);
	for (type = 0; type < ARRAY_SIZE(ci->sev_capacity); type++)
		if (ci->sev_capacity[type])
			sev_capacity_publish(type);
	mutex_unlock(&core_lock);
}
