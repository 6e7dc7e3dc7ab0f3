// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest memory that is in memory is mapped ahead, into the page tables of a VM whose vCPUs
 * have not run.
 *
 * The first page below a table goes through KVM's fault handler, which decides whether it
 * becomes a huge one and makes the tables. Where it has made a table of small pages, runs of
 * the others are looked up at once and put into it, under what a fault holds as well.
 */
#include <linux/kvm_host.h>
#include <linux/mm.h>

#include "mmu.h"
#include "mmu/mmu_internal.h"
#include "mmu/spte.h"
#include "mmu/tdp_iter.h"
#include "mmu/tdp_mmu.h"
#include "relay.h"
#include "compat.h"

/* Pages that are looked up at once: with interrupts disabled, and on the stack. */
#define RUN	64

/* What was asked for, and is left of it. */
struct rest {
	struct kvm_vcpu *vcpu;
	const struct kvm_memory_slot *slot;
	gfn_t gfn;
	gfn_t end;
	u64 mapped;
};

/* NULL: tables that are not the TDP MMU's, or none yet. */
static struct kvm_mmu_page *tdp_root(struct kvm_vcpu *vcpu)
{
	struct kvm_mmu_page *root;

	if (!tdp_enabled || !VALID_PAGE(vcpu->arch.mmu->root.hpa))
		return NULL;
	root = to_shadow_page(vcpu->arch.mmu->root.hpa);
	return root && is_tdp_mmu_page(root) ? root : NULL;
}

static unsigned long hva_of(const struct rest *rest)
{
	return __gfn_to_hva_memslot(rest->slot, rest->gfn);
}

/* To the end of what a table's entry of this level is for. */
static unsigned long to_boundary(const struct rest *rest, int level)
{
	unsigned long pages = KVM_PAGES_PER_HPAGE(level);

	return min_t(gfn_t, rest->end - rest->gfn, pages - (rest->gfn & (pages - 1)));
}

/*
 * The level at which the tables end on the way to the next page. PG_LEVEL_4K: there is a
 * table that has its entry, whatever is in that. A higher one: the leaf of a huge page, or
 * PG_LEVEL_NONE where nothing is there.
 */
static int level_at(const struct rest *rest)
{
	struct kvm_mmu_page *root = tdp_root(rest->vcpu);
	struct kvm *kvm = rest->vcpu->kvm;
	int level = PG_LEVEL_NONE;
	struct tdp_iter iter;

	if (!root)
		return level;
	read_lock(&kvm->mmu_lock);
	rcu_read_lock();
	for_each_tdp_pte(iter, root, rest->gfn, rest->gfn + 1) {
		if (iter.level == PG_LEVEL_4K ||
		    (is_shadow_present_pte(iter.old_spte) &&
		     is_last_spte(iter.old_spte, iter.level)))
			level = iter.level;
	}
	rcu_read_unlock();
	read_unlock(&kvm->mmu_lock);
	return level;
}

/* An entry that KVM makes for a fault of which it knows before the guest does. */
static bool set_entry(struct rest *rest, struct tdp_iter *iter, struct page *page)
{
	u64 *sptep = rcu_dereference(iter->sptep);
	u64 spte;

	if (iter->old_spte != SHADOW_NONPRESENT_VALUE)
		return false;
	make_spte(rest->vcpu, sptep_to_sp(sptep), rest->slot, ACC_ALL, iter->gfn,
		  page_to_pfn(page), iter->old_spte, true, true, true, &spte);
	return try_cmpxchg64(sptep, &iter->old_spte, spte);
}

static void set_entries(struct rest *rest, struct page **pages, int nr, unsigned long seq)
{
	struct kvm_mmu_page *root = tdp_root(rest->vcpu);
	struct kvm *kvm = rest->vcpu->kvm;
	struct tdp_iter iter;
	unsigned int set = 0;

	read_lock(&kvm->mmu_lock);
	rcu_read_lock();
	for_each_tdp_pte(iter, root, rest->gfn, rest->gfn + nr)
		if (iter.level == PG_LEVEL_4K &&
		    !relay_invalidate_retry(kvm, seq, rest->slot, iter.gfn))
			set += set_entry(rest, &iter, pages[iter.gfn - rest->gfn]);
	rcu_read_unlock();
	kvm_update_page_stats(kvm, PG_LEVEL_4K, set);
	read_unlock(&kvm->mmu_lock);
	rest->mapped += set;
}

/*
 * The next pages, as far as all of them may be written to. A page whose address the VMM
 * gives to something else meanwhile is left to the guest's fault.
 */
static unsigned int map_run(struct rest *rest)
{
	unsigned int most = min_t(unsigned long, RUN, to_boundary(rest, PG_LEVEL_2M));
	unsigned long seq = rest->vcpu->kvm->mmu_invalidate_seq;
	struct page *pages[RUN];
	int nr, i;

	/* Pairs with the end of an invalidation, as in KVM's faults. */
	smp_rmb();
	nr = get_user_pages_fast_only(hva_of(rest), most, FOLL_WRITE, pages);
	if (nr <= 0)
		return 0;
	set_entries(rest, pages, nr, seq);
	for (i = 0; i < nr; i++)
		put_page(pages[i]);
	return nr;
}

/* More objects than a fault takes, so it finds them there. */
static int topup(struct kvm_vcpu_arch *arch)
{
	const int enough = 16;

	return kvm_mmu_topup_memory_cache(&arch->mmu_pte_list_desc_cache, enough) ?:
	       kvm_mmu_topup_memory_cache(&arch->mmu_shadow_page_cache, enough) ?:
	       kvm_mmu_topup_memory_cache(&arch->mmu_page_header_cache, enough);
}

/*
 * By way of what KVM does when a page that it waited for has come, which does not
 * tell whether there was memory for it.
 */
static int fault(struct rest *rest)
{
	struct kvm_vcpu *vcpu = rest->vcpu;
	struct kvm_async_pf work = {
		.vcpu = vcpu,
		.cr2_or_gpa = rest->gfn << PAGE_SHIFT,
	};

	if (topup(&vcpu->arch))
		return -ENOMEM;
	work.arch.direct_map = vcpu->arch.mmu->root_role.direct;
	kvm_arch_async_page_ready(vcpu, &work);
	return 0;
}

/* Where there are no tables of the TDP MMU's to ask, what the host has tells. */
static unsigned int fault_maps(const struct rest *rest, bool compound)
{
	int level = level_at(rest);

	if (!tdp_root(rest->vcpu) && compound &&
	    IS_ALIGNED(hva_of(rest) | rest->gfn << PAGE_SHIFT, PMD_SIZE))
		level = PG_LEVEL_2M;
	return level == PG_LEVEL_NONE ? 1 : to_boundary(rest, level);
}

/* The next page: 0 if it is not in memory, those that need no more, or -ENOMEM. */
static int map_one(struct rest *rest)
{
	struct page *page;
	bool compound;
	int r;

	if (get_user_pages_fast_only(hva_of(rest), 1, 0, &page) != 1)
		return 0;
	compound = PageTransCompound(page);
	put_page(page);
	r = fault(rest);
	if (r)
		return r;
	r = fault_maps(rest, compound);
	rest->mapped += r;
	return r;
}

/* As many pages as can be dealt with at once, or -ENOMEM; @hole: the last was none. */
static int map_some(struct rest *rest, bool *hole)
{
	int level = PG_LEVEL_NONE, done = 0;

	/* A run that begins with nothing costs as much as one page. */
	if (!*hole && !rest->slot->flags)
		level = level_at(rest);
	if (level > PG_LEVEL_4K)
		return to_boundary(rest, level);
	if (level == PG_LEVEL_4K)
		done = map_run(rest);
	if (!done)
		done = map_one(rest);
	*hole = !done;
	return done ?: 1;
}

/**
 * kvm_relay_vcpu_populate - map guest memory ahead
 * @priv: the vCPU
 * @gpa: where it begins
 * @size: how much, of one memslot that is not logged
 * @pages: those that were mapped are added
 *
 * Context: process, in the VM's address space; sleeps.
 * Return: 0 or -ENOMEM; what was mapped before stays so.
 */
int kvm_relay_vcpu_populate(void *priv, u64 gpa, u64 size, u64 *pages)
{
	struct rest rest = {
		.vcpu = priv,
		.gfn = gpa >> PAGE_SHIFT,
		.end = (gpa + size) >> PAGE_SHIFT,
	};
	struct kvm *kvm = rest.vcpu->kvm;
	int idx, done = 0;
	bool hole = false;

	if (!tdp_enabled)
		return 0;
	vcpu_load(rest.vcpu);
	idx = srcu_read_lock(&kvm->srcu);
	rest.slot = gfn_to_memslot(kvm, rest.gfn);
	if (rest.slot)
		rest.end = min(rest.end, rest.slot->base_gfn + rest.slot->npages);
	else
		rest.end = rest.gfn;
	for (; rest.gfn < rest.end; rest.gfn += done) {
		done = map_some(&rest, &hole);
		if (done < 0)
			break;
	}
	srcu_read_unlock(&kvm->srcu, idx);
	vcpu_put(rest.vcpu);
	*pages += rest.mapped;
	return min(done, 0);
}

/**
 * kvm_relay_vcpu_pin - keep the page tables that a vCPU has
 * @priv: the vCPU
 *
 * Page tables that no vCPU uses are freed, and every KVM_SET_SREGS with another CR3 lets a
 * vCPU's go. A reference of kvm-core's keeps those that were filled ahead until the vCPUs
 * run.
 *
 * Context: process.
 * Return: what kvm_relay_vm_unpin() takes, or NULL.
 */
void *kvm_relay_vcpu_pin(void *priv)
{
	struct kvm_mmu_page *root = tdp_root(priv);

	return root && kvm_tdp_mmu_get_root(root) ? root : NULL;
}

/**
 * kvm_relay_vm_unpin - undo kvm_relay_vcpu_pin()
 * @priv: the VM
 * @pin: from there
 *
 * Context: process.
 */
void kvm_relay_vm_unpin(void *priv, void *pin)
{
	struct kvm *kvm = priv;

	read_lock(&kvm->mmu_lock);
	relay_put_root(kvm, pin);
	read_unlock(&kvm->mmu_lock);
}
