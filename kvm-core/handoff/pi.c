// SPDX-License-Identifier: GPL-2.0-only
/*
 * Posted-interrupt descriptors: a page for each vCPU, which stays the same
 * whatever instance the vCPU is in, so that a device may post to it all the time.
 *
 * Nothing in here looks into a descriptor but for the bit of an interrupt that its VM
 * gives up. The page's reference count is the descriptor's: the instance has one, the
 * vCPU's descriptor (struct core_vcpu) another, and so have each module that posts and
 * each interrupt that is posted to it.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/file.h>
#include <linux/fs.h>
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
#include "private.h"

static bool posting;
module_param(posting, bool, 0444);
MODULE_PARM_DESC(posting,
		 "behave as if an IOMMU posted interrupts, for tests in which a module does");

/**
 * struct irte - a host interrupt that is posted to a vCPU
 * @link:	in irtes
 * @irq:	its number
 * @data:	where it is posted to, with a reference on the descriptor
 * @leave:	its VM is giving it up
 * @held:	the vCPU is on its way to another instance
 * @passed:	the descriptor was given to another vCPU, whose VM does not have the
 *		interrupt yet
 * @drop:	@held or @passed, and the VM that it leaves has given it up
 * @origin:	of @passed: the vCPU that gave the descriptor; only compared
 */
struct irte {
	struct list_head link;
	unsigned int irq;
	struct vcpu_data data;
	struct core_pi_leave *leave;
	bool held;
	bool passed;
	bool drop;
	const struct core_vcpu *origin;
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
	core_pi_unref(pi);
}
EXPORT_SYMBOL_GPL(kvm_core_pi_put);

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

static bool of_pi(const struct irte *e, const void *pi)
{
	return pi && e->data.pi_desc_addr == __pa(pi);
}

/* It is not posted any more. PIR is what a descriptor begins with. */
static void irte_del(struct irte *e)
{
	void *pi = phys_to_virt(e->data.pi_desc_addr);

	if (e->leave)
		e->leave->left = test_and_clear_bit(e->data.vector, pi);
	core_pi_unref(pi);
	list_del(&e->link);
	kfree(e);
}

/* What goes on already is not written again, and not given up in between. */
static bool irte_absorb(struct irte *e, const struct vcpu_data *data)
{
	if (!e || !(e->held || e->passed))
		return false;
	e->drop = !data;
	if (!data)
		return true;
	if (data->pi_desc_addr != e->data.pi_desc_addr ||
	    data->vector != e->data.vector)
		return false;
	/* A VM has it. */
	e->passed = false;
	return true;
}

/* Returns @spare if it was not needed. */
static struct irte *irte_note(struct irte *e, struct irte *spare,
			      unsigned int irq, const struct vcpu_data *data)
{
	void *former = e ? phys_to_virt(e->data.pi_desc_addr) : NULL;

	if (!data) {
		if (e)
			irte_del(e);
		return spare;
	}
	if (!e) {
		e = spare;
		spare = NULL;
		e->irq = irq;
		list_add(&e->link, &irtes);
	}
	core_pi_ref(phys_to_virt(data->pi_desc_addr));
	core_pi_unref(former);
	e->data = *data;
	e->passed = false;
	e->held = false;
	return spare;
}

/**
 * kvm_core_irq_post - post a host interrupt to a vCPU, or to nobody
 * @irq: the host's number of the interrupt
 * @info: struct vcpu_data, or NULL to have it as any interrupt of the host
 *
 * As irq_set_vcpu_affinity(). While the vCPU is handed over, or its descriptor
 * passed on, what would only be undone by the VM that it comes to is put off.
 *
 * Context: any but NMI.
 * Return: as irq_set_vcpu_affinity(); -ENOMEM, and it is posted to nobody.
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
	if (info && !e && !spare) {
		/* Posted without a reference, it would outlive the descriptor. */
		r = -ENOMEM;
	} else if (!irte_absorb(e, info)) {
		r = irq_set_vcpu_affinity(irq, info);
		if (r >= 0)
			spare = irte_note(e, spare, irq, info);
	}
	spin_unlock_irqrestore(&irtes_lock, flags);
	kfree(spare);
	return r;
}
EXPORT_SYMBOL_GPL(kvm_core_irq_post);

/**
 * core_pi_leave_begin - a VM is about to give up the interrupt of a device
 * @leave: filled in, for core_pi_leave_end()
 * @irq: the host's number of the interrupt
 *
 * Context: process.
 */
void core_pi_leave_begin(struct core_pi_leave *leave, unsigned int irq)
{
	unsigned long flags;
	struct irte *e;

	leave->irq = irq;
	leave->left = false;
	spin_lock_irqsave(&irtes_lock, flags);
	e = irte_find(irq);
	if (e)
		e->leave = leave;
	spin_unlock_irqrestore(&irtes_lock, flags);
}

/**
 * core_pi_leave_end - it has given it up
 * @leave: of core_pi_leave_begin()
 *
 * KVM leaves posted what it finds no route for. Nobody is posted to any more after this,
 * unless the interrupt is on its way with its descriptor.
 *
 * Context: process.
 * Return: whether one was posted that the vCPU has not taken. It will not.
 */
bool core_pi_leave_end(struct core_pi_leave *leave)
{
	unsigned long flags;
	struct irte *e;

	spin_lock_irqsave(&irtes_lock, flags);
	e = irte_find(leave->irq);
	if (e && e->leave == leave) {
		if (e->held || e->passed) {
			e->drop = true;
			e->leave = NULL;
		} else {
			irq_set_vcpu_affinity(e->irq, NULL);
			irte_del(e);
		}
	}
	spin_unlock_irqrestore(&irtes_lock, flags);
	return leave->left;
}

static bool of_vm(const struct core_move *mv, const struct irte *e)
{
	struct core_pair *p;

	list_for_each_entry(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		if (cf->vcpu && of_pi(e, cf->vcpu->pi))
			return true;
	}
	return false;
}

/* With @held, counting those alone whose vCPU is on its way. */
static bool any_of(const void *pi, bool held)
{
	unsigned long flags;
	struct irte *e;
	bool any = false;

	spin_lock_irqsave(&irtes_lock, flags);
	list_for_each_entry(e, &irtes, link)
		any = any || (of_pi(e, pi) && (e->held || !held));
	spin_unlock_irqrestore(&irtes_lock, flags);
	return any;
}

static bool posted_to(const void *pi)
{
	return any_of(pi, false);
}

static bool any_posted(const struct core_move *mv)
{
	struct core_pair *p;

	list_for_each_entry(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		if (cf->vcpu && posted_to(cf->vcpu->pi))
			return true;
	}
	return false;
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
			      core_file_of(p->target)->vcpu->pi, KVM_CORE_PI_ASIDE);
		to->vcpu_pi(p->target->private_data, cf->vcpu->pi, KVM_CORE_PI_LIVE);
	}
}

/**
 * core_pi_retire - interrupts that the target does not post are the host's again
 * @mv: the handoff; the source's VM is gone, the target's has its devices. Stage retire
 *	has ended: where a test holds it, they are still on their way
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

/*
 * Whoever has the interrupts at @from gives them up and somebody has them at @to
 * next. If that is who had them first, and never gave them up, nothing has happened.
 */
static void irtes_pass(const struct core_vcpu *from, const struct core_vcpu *to)
{
	unsigned long flags;
	struct irte *e;

	spin_lock_irqsave(&irtes_lock, flags);
	list_for_each_entry(e, &irtes, link) {
		if (!of_pi(e, from->pi))
			continue;
		if (!e->passed) {
			e->passed = true;
			e->drop = false;
			e->origin = from;
		} else if (e->origin == to && !e->drop) {
			e->passed = false;
		}
	}
	spin_unlock_irqrestore(&irtes_lock, flags);
}

/* Does the KVM of the vCPU take what devices post? */
static int takes_posted(const struct core_file *cf)
{
	const struct kvm_core_ops *ops = cf->ci->inst->ops;
	void *vm = (void *)cf->vm->cookie;
	int r = ops->vm_posted(vm, true);

	if (!r)
		ops->vm_posted(vm, false);
	return r;
}

static int may_take(const struct core_file *to, const struct core_file *from)
{
	if (!to->vm || !from->vm)
		return -EINVAL;
	if (READ_ONCE(from->ci->state) == CORE_FAILED || to->vm->owner.mm != current->mm)
		return -EIO;
	if (!to->vcpu->pi || !from->vcpu->pi)
		return -EOPNOTSUPP;
	/*
	 * vCPUs run before their handoff's end, which looks for its interrupts at the
	 * descriptors that it gave them. None becomes one of those in between.
	 */
	if (any_of(to->vcpu->pi, true) || any_of(from->vcpu->pi, true))
		return -EBUSY;
	return posted_to(from->vcpu->pi) ? takes_posted(to) : 0;
}

/* The gates of both are held. */
static void exchange(struct file *file, struct core_file *to, struct file *other,
		     struct core_file *from)
{
	irtes_pass(from->vcpu, to->vcpu);
	from->ci->inst->ops->vcpu_pi(other->private_data, to->vcpu->pi,
				     KVM_CORE_PI_FRESH);
	to->ci->inst->ops->vcpu_pi(file->private_data, from->vcpu->pi,
				   KVM_CORE_PI_LIVE);
	mutex_lock(&core_files_lock);
	swap(from->vcpu->pi, to->vcpu->pi);
	mutex_unlock(&core_files_lock);
	/* A handoff that prepares has looked at what is posted. */
	atomic64_inc(&to->vm->changes);
	atomic64_inc(&from->vm->changes);
}

/**
 * core_pi_take - KVM_CORE_VCPU_TAKE_PI
 * @file: the descriptor of the vCPU that takes
 * @to: the same
 * @fd: of the vCPU that gives
 *
 * Context: process, with the gate of @to; sleeps.
 * Return: 0; -EBADF no such descriptor; -EINVAL it is not another vCPU's; -EBUSY its
 * vCPU is in an ioctl, or one of both is being handed over; -EOPNOTSUPP one has no descriptor, or
 * devices post to it and the KVM of @to does not take that; -EIO another process's
 * VM, or an instance that has failed.
 */
long core_pi_take(struct file *file, struct core_file *to, unsigned long fd)
{
	struct file *other = fd > INT_MAX ? NULL : fget(fd);
	struct core_file *from;
	long r = -EINVAL;

	if (!other)
		return -EBADF;
	if (other == file || !core_is_file(other) || !(other->f_mode & FMODE_WRITE))
		goto out;
	from = core_file_of(other);
	if (from->kind != CORE_FILE_VCPU)
		goto out;
	r = -EBUSY;
	if (!mutex_trylock(&from->vcpu->gate))
		goto out;
	r = may_take(to, from);
	if (!r)
		exchange(file, to, other, from);
	mutex_unlock(&from->vcpu->gate);
out:
	fput(other);
	return r;
}

/**
 * core_pi_end - a vCPU ends
 * @pi: its descriptor, or NULL
 *
 * What is posted there because it was to have it, and no VM has it, is the host's.
 *
 * Context: process.
 */
void core_pi_end(void *pi)
{
	unsigned long flags;
	struct irte *e, *n;

	spin_lock_irqsave(&irtes_lock, flags);
	list_for_each_entry_safe(e, n, &irtes, link) {
		if (!e->passed || !of_pi(e, pi))
			continue;
		irq_set_vcpu_affinity(e->irq, NULL);
		irte_del(e);
	}
	spin_unlock_irqrestore(&irtes_lock, flags);
}
