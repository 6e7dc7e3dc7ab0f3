// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage prepare: guest memory that is present is mapped ahead.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "core.h"
#include "private.h"

/* Pages that page tables for CHUNK take at most, and slabs of what describes them. */
#define STEP_PAGES	24

/* What is mapped between two looks at the clock. */
#define CHUNK		PMD_SIZE

/* The VMM's memory cgroup reclaims only where there is no room. */
static int populate_chunk(struct core_move *mv, void *vcpu, u64 gpa, u64 size)
{
	const struct kvm_core_ops *ops = mv->to->inst->ops;
	int r = ops->vcpu_populate(vcpu, gpa, size, &mv->args->populated);

	if (r == -ENOMEM && !core_charge_room(&mv->charge, STEP_PAGES))
		r = ops->vcpu_populate(vcpu, gpa, size, &mv->args->populated);
	return r;
}

/*
 * How much of the host's address space is known to have nothing in memory, as it has no
 * page table, from @hva on; 0 where it has one. With interrupts disabled, none that is
 * found here is freed.
 */
static unsigned long absent(struct mm_struct *mm, unsigned long hva)
{
	unsigned long flags, size;
	pgd_t pgd;
	p4d_t p4d;
	pud_t pud;

	local_irq_save(flags);
	size = PGDIR_SIZE;
	pgd = READ_ONCE(*pgd_offset(mm, hva));
	if (pgd_none(pgd))
		goto out;
	size = P4D_SIZE;
	p4d = READ_ONCE(*p4d_offset(&pgd, hva));
	if (p4d_none(p4d) || !p4d_present(p4d))
		goto out;
	size = PUD_SIZE;
	pud = READ_ONCE(*pud_offset(&p4d, hva));
	if (pud_none(pud))
		goto out;
	size = 0;
	if (pud_present(pud) && !pud_leaf(pud) &&
	    pmd_none(READ_ONCE(*pmd_offset(&pud, hva))))
		size = PMD_SIZE;
out:
	local_irq_restore(flags);
	return size ? size - (hva & (size - 1)) : 0;
}

static int populate_slot(struct core_move *mv, void *vcpu,
			 const struct kvm_userspace_memory_region *slot)
{
	u64 at = 0, size, gpa;
	int r = 0;

	/* Another address space is SMM's; a page that is logged becomes dirty. */
	if (slot->slot >> 16 || slot->flags & KVM_MEM_LOG_DIRTY_PAGES)
		return 0;
	for (; !r && at < slot->memory_size && !core_move_timed_out(mv); at += size) {
		gpa = slot->guest_phys_addr + at;
		size = absent(mv->mm, slot->userspace_addr + at);
		if (!size) {
			size = min(slot->memory_size - at, CHUNK - (gpa & (CHUNK - 1)));
			r = populate_chunk(mv, vcpu, gpa, size);
		}
		cond_resched();
	}
	return r;
}

/**
 * core_populate - map guest memory ahead
 * @mv: the handoff; the target is made
 *
 * Context: the handoff's thread, replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_populate(struct core_move *mv)
{
	struct kvm_userspace_memory_region *slots;
	struct core_file *vm = core_file_of(mv->vm_file), *cf;
	struct core_entry *e;
	unsigned int n = 0, i;
	struct core_pair *p;
	void *vcpu = NULL;
	int r = 0;

	mv->args->populated = 0;
	for_each_vcpu(cf, p, mv) {
		vcpu = p->target->private_data;
		break;
	}
	if (!vcpu || mv->args->flags & KVM_CORE_MOVE_NO_POPULATE)
		return 0;
	/* The types of memory would be those of a vCPU that has no MTRRs yet. */
	if (mv->noncoherent)
		return 0;

	mutex_lock(&vm->rec.lock);
	list_for_each_entry(e, &vm->rec.entries, link)
		n += e->cmd == KVM_SET_USER_MEMORY_REGION;
	slots = kvcalloc(n, sizeof(*slots), GFP_KERNEL);
	n = 0;
	list_for_each_entry(e, &vm->rec.entries, link)
		if (slots && e->cmd == KVM_SET_USER_MEMORY_REGION)
			slots[n++] = *(struct kvm_userspace_memory_region *)e->data;
	mutex_unlock(&vm->rec.lock);
	if (!slots)
		return core_move_fail(mv, -ENOMEM, "list of memslots");

	core_mm_use(mv->mm);
	for (i = 0; !r && i < n && !core_move_timed_out(mv); i++)
		r = core_adopt_region(mv, &slots[i]) ?:
		    populate_slot(mv, vcpu, &slots[i]);
	kvfree(slots);
	if (r == CORE_MOVE_AGAIN)
		return r;
	/*
	 * The guest would find none either, while the source still has its own: KVM_RUN
	 * would fail, or the OOM killer take the VMM.
	 */
	if (r)
		return core_move_fail(mv, r, "page tables of the target");
	mv->pin = mv->to->inst->ops->vcpu_pin(vcpu);
	return 0;
}

/**
 * core_unpin - let go of the page tables that core_populate() made
 * @mv: the handoff
 * @vm: the descriptor that the target's VM is behind
 *
 * Context: the handoff's thread; sleeps.
 */
void core_unpin(struct core_move *mv, struct file *vm)
{
	if (mv->pin)
		mv->to->inst->ops->vm_unpin(vm->private_data, mv->pin);
	mv->pin = NULL;
}
