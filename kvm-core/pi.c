// SPDX-License-Identifier: GPL-2.0-only
/*
 * Posted-interrupt descriptors: a page for each vCPU, which stays the same
 * whatever instance the vCPU is in, so that a device may post to it all the time.
 *
 * Nothing in here looks into a descriptor. The page's reference count is the
 * descriptor's: the instance has one, the vCPU's descriptor (struct core_vcpu)
 * another, and so has each module that posts.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/gfp.h>
#include <linux/irq.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <asm/irq_remapping.h>
#include <kvm-core/pi.h>

#include "core.h"
#include "handoff.h"

static bool posting;
module_param(posting, bool, 0444);
MODULE_PARM_DESC(posting,
		 "behave as if an IOMMU posted interrupts, for tests in which a module does");

/**
 * struct irte - a host interrupt that is posted to a vCPU
 * @link:	in irtes
 * @irq:	its number
 * @data:	where it is posted to
 * @held:	the vCPU is on its way to another instance
 * @drop:	and the one that it leaves has given the interrupt up
 */
struct irte {
	struct list_head link;
	unsigned int irq;
	struct vcpu_data data;
	bool held;
	bool drop;
};

static LIST_HEAD(irtes);
/* Protects irtes; taken where interrupts are disabled. */
static DEFINE_SPINLOCK(irtes_lock);

/**
 * kvm_core_pi_alloc - a descriptor for a new vCPU
 *
 * A page of its own: hardware wants an alignment of 64 bytes, one of the emulators
 * of a page.
 *
 * Context: process; sleeps.
 * Return: the descriptor, zeroed, for kvm_core_pi_put(), or NULL.
 */
void *kvm_core_pi_alloc(void)
{
	return (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
}
EXPORT_SYMBOL_GPL(kvm_core_pi_alloc);

/**
 * kvm_core_pi_put - undo kvm_core_pi_alloc() or kvm_core_pi_get()
 * @pi: the descriptor, or NULL
 *
 * Context: any.
 */
void kvm_core_pi_put(void *pi)
{
	if (pi)
		put_page(virt_to_page(pi));
}
EXPORT_SYMBOL_GPL(kvm_core_pi_put);

/**
 * core_pi_ref - one reference more
 * @pi: the descriptor, or NULL
 *
 * Context: any.
 * Return: @pi.
 */
void *core_pi_ref(void *pi)
{
	if (pi)
		get_page(virt_to_page(pi));
	return pi;
}

/**
 * kvm_core_pi_get - the descriptor of a vCPU
 * @vm: the VM, by the number that /sys/kernel/kvm_core/vms shows
 * @vcpu: the vCPU, by its id
 *
 * It is the vCPU's until the vCPU ends. After that it is memory that nobody
 * looks at, until the reference is given back.
 *
 * Context: process; sleeps.
 * Return: the descriptor, with a reference, or NULL if there is no such vCPU or it
 * has none.
 */
void *kvm_core_pi_get(int vm, int vcpu)
{
	struct core_vm *v = core_vm_get(vm);
	struct core_file *cf;
	void *pi = NULL;

	if (!v)
		return NULL;
	mutex_lock(&core_files_lock);
	list_for_each_entry(cf, &v->files, link)
		if (cf->kind == CORE_FILE_VCPU && cf->id == vcpu)
			pi = core_pi_ref(cf->vcpu->pi);
	mutex_unlock(&core_files_lock);
	core_vm_put(v);
	return pi;
}
EXPORT_SYMBOL_GPL(kvm_core_pi_get);

/**
 * kvm_core_irq_posting - are there devices whose interrupts can be posted
 *
 * Context: any.
 * Return: true if an IOMMU can, or a test wants it so.
 */
bool kvm_core_irq_posting(void)
{
	return posting || irq_remapping_cap(IRQ_POSTING_CAP);
}
EXPORT_SYMBOL_GPL(kvm_core_irq_posting);

static struct irte *irte_find(unsigned int irq)
{
	struct irte *e;

	lockdep_assert_held(&irtes_lock);
	list_for_each_entry(e, &irtes, link)
		if (e->irq == irq)
			return e;
	return NULL;
}

static void irte_del(struct irte *e)
{
	list_del(&e->link);
	kfree(e);
}

/* What goes on already is not written again, and not given up in between. */
static bool irte_absorb(struct irte *e, const struct vcpu_data *data)
{
	if (!e || !e->held)
		return false;
	e->drop = !data;
	return !data || (data->pi_desc_addr == e->data.pi_desc_addr &&
			 data->vector == e->data.vector);
}

/* Returns @spare if it was not needed. */
static struct irte *irte_note(struct irte *e, struct irte *spare,
			      unsigned int irq, const struct vcpu_data *data)
{
	if (!data) {
		if (e)
			irte_del(e);
		return spare;
	}
	if (!e) {
		/* Without memory a handoff finds nothing to hold: it is rewritten. */
		if (!spare)
			return NULL;
		e = spare;
		spare = NULL;
		e->irq = irq;
		list_add(&e->link, &irtes);
	}
	e->data = *data;
	e->held = false;
	return spare;
}

/**
 * kvm_core_irq_post - post a host interrupt to a vCPU, or to nobody
 * @irq: the host's number of the interrupt
 * @info: struct vcpu_data, or NULL to have it as any interrupt of the host
 *
 * As irq_set_vcpu_affinity(). While the vCPU is handed over, what would only be
 * undone by the instance that it comes to is put off.
 *
 * Context: any but NMI.
 * Return: as irq_set_vcpu_affinity().
 */
int kvm_core_irq_post(unsigned int irq, void *info)
{
	struct irte *e, *spare = NULL;
	unsigned long flags;
	int r = 0;

	if (info)
		spare = kzalloc(sizeof(*spare), GFP_ATOMIC);
	spin_lock_irqsave(&irtes_lock, flags);
	e = irte_find(irq);
	if (!irte_absorb(e, info)) {
		r = irq_set_vcpu_affinity(irq, info);
		if (r >= 0)
			spare = irte_note(e, spare, irq, info);
	}
	spin_unlock_irqrestore(&irtes_lock, flags);
	kfree(spare);
	return r;
}
EXPORT_SYMBOL_GPL(kvm_core_irq_post);

static bool of_vm(const struct core_move *mv, const struct irte *e)
{
	struct core_pair *p;

	list_for_each_entry(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		if (cf->vcpu && cf->vcpu->pi &&
		    __pa(cf->vcpu->pi) == e->data.pi_desc_addr)
			return true;
	}
	return false;
}

static bool any_posted(const struct core_move *mv)
{
	unsigned long flags;
	struct irte *e;
	bool any = false;

	spin_lock_irqsave(&irtes_lock, flags);
	list_for_each_entry(e, &irtes, link)
		any = any || of_vm(mv, e);
	spin_unlock_irqrestore(&irtes_lock, flags);
	return any;
}

/**
 * core_pi_prepare - can the target take what devices post
 * @mv: the handoff; the target's VM is made
 *
 * Context: the handoff's thread; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_pi_prepare(struct core_move *mv)
{
	int r = mv->to->inst->ops->vm_posted(mv->vm_target->private_data, true);

	if (r && any_posted(mv))
		return core_move_fail(mv, r,
				      "a device posts interrupts, which the target does not take");
	mv->posted = !r;
	return 0;
}

/**
 * core_pi_commit - the target's vCPUs have the descriptors of the source's
 * @mv: the handoff; all state is the target's, and nothing fails after this
 *
 * The source's get those that the target's were made with. They were the target's
 * alone until here, since setting a LAPIC's state empties the descriptor.
 *
 * Context: the handoff's thread; sleeps. No vCPU runs.
 */
void core_pi_commit(struct core_move *mv)
{
	const struct kvm_core_ops *from = mv->from->inst->ops;
	const struct kvm_core_ops *to = mv->to->inst->ops;
	struct core_pair *p;
	unsigned long flags;
	struct irte *e;

	spin_lock_irqsave(&irtes_lock, flags);
	list_for_each_entry(e, &irtes, link)
		if (of_vm(mv, e))
			e->held = true;
	spin_unlock_irqrestore(&irtes_lock, flags);

	list_for_each_entry(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		if (!cf->vcpu || !cf->vcpu->pi)
			continue;
		from->vcpu_pi(p->file->private_data,
			      core_file_of(p->target)->vcpu->pi, false);
		to->vcpu_pi(p->target->private_data, cf->vcpu->pi, true);
	}
}

/**
 * core_pi_retire - interrupts that the target does not post are the host's again
 * @mv: the handoff; the source's VM is gone, the target's has its devices
 *
 * Context: the handoff's thread; sleeps.
 */
void core_pi_retire(struct core_move *mv)
{
	unsigned long flags;
	struct irte *e, *n;

	spin_lock_irqsave(&irtes_lock, flags);
	list_for_each_entry_safe(e, n, &irtes, link) {
		if (!e->held || !of_vm(mv, e))
			continue;
		e->held = false;
		if (!e->drop)
			continue;
		irq_set_vcpu_affinity(e->irq, NULL);
		irte_del(e);
	}
	spin_unlock_irqrestore(&irtes_lock, flags);
	if (mv->posted)
		mv->to->inst->ops->vm_posted(mv->vm_file->private_data, false);
}
