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

/* Pages that vcpu_populate() takes at most: page tables, and slabs of what describes them. */
#define STEP_PAGES	24

/* The VMM's memory cgroup reclaims only where there is no room. */
static int populate_gpa(struct core_move *mv, void *vcpu, u64 gpa)
{
	const struct kvm_core_ops *ops = mv->to->inst->ops;
	int r = ops->vcpu_populate(vcpu, gpa);

	if (r == -ENOMEM && !core_charge_room(&mv->charge, STEP_PAGES))
		r = ops->vcpu_populate(vcpu, gpa);
	return r;
}

/*
 * Only what is in memory anyway is mapped ahead. The bytes that are done, or
 * -ENOMEM.
 */
static long populate_page(struct core_move *mv, void *vcpu, u64 gpa,
			  unsigned long hva)
{
	struct page *page;
	long step = PAGE_SIZE;
	int r;

	if (get_user_pages_fast_only(hva, 1, 0, &page) != 1)
		return step;
	if (PageTransCompound(page) && IS_ALIGNED(hva, PMD_SIZE) &&
	    IS_ALIGNED(gpa, PMD_SIZE))
		step = PMD_SIZE;
	put_page(page);
	r = populate_gpa(mv, vcpu, gpa);
	if (r == -ENOMEM)
		return r;
	if (r > 0)
		mv->args->populated += step / PAGE_SIZE;
	return step;
}

static int populate_slot(struct core_move *mv, void *vcpu,
			 const struct kvm_userspace_memory_region *slot)
{
	u64 at = 0;
	long done;

	/* Another address space is SMM's; a page that is logged becomes dirty. */
	if (slot->slot >> 16 || slot->flags & KVM_MEM_LOG_DIRTY_PAGES)
		return 0;
	while (at < slot->memory_size && !core_move_timed_out(mv)) {
		done = populate_page(mv, vcpu, slot->guest_phys_addr + at,
				     slot->userspace_addr + at);
		if (done < 0)
			return done;
		at += done;
		cond_resched();
	}
	return 0;
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
