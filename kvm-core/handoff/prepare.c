// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage prepare: the VM is made anew on the target, from the record.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/file.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sizes.h>

#include "core.h"
#include "private.h"

/* Its address may be another one there. */
static long replay_region(struct core_move *mv, struct file *target,
			  const struct core_entry *e)
{
	struct kvm_userspace_memory_region region =
		*(const struct kvm_userspace_memory_region *)e->data;

	return core_adopt_region(mv, &region) ?:
	       core_replay_ioctl(target, e->cmd, &region);
}

static long replay_entry(struct core_move *mv, struct file *target, struct core_entry *e)
{
	if (e->cmd == KVM_SET_USER_MEMORY_REGION)
		return replay_region(mv, target, e);
	core_mm_use(mv->mm);
	return core_call_entry(&mv->mark, target, e);
}

/* A VMM may have as many irqfds and the like as it likes. */
static long replay_in_time(struct core_move *mv, struct file *target, struct core_entry *e)
{
	char name[CORE_NAME_LEN];
	long r;

	if (core_move_timed_out(mv))
		return core_move_fail(mv, -ETIMEDOUT,
				      "its configuration is not made anew in %u ms",
				      mv->args->timeout_ms);
	r = replay_entry(mv, target, e);
	if (r < 0)
		core_move_fail(mv, r, "the target refuses %s", core_ioctl_name(e->cmd, name));
	return r;
}

static int replay_phase(struct core_move *mv, struct core_file *cf,
			struct file *target, enum core_phase phase)
{
	struct core_entry *e;
	long r = 0;

	mutex_lock(&cf->rec.lock);
	list_for_each_entry(e, &cf->rec.entries, link) {
		if (e->phase != phase)
			continue;
		r = replay_in_time(mv, target, e);
		if (r < 0)
			break;
		r = 0;
		cond_resched();
	}
	mutex_unlock(&cf->rec.lock);
	return r;
}

static int make_vm(struct core_move *mv, struct core_pair *first)
{
	struct core_file *cf;
	struct core_pair *p;
	long r;

	for_each_vcpu(cf, p, mv) {
		mv->mark.pages = cf->vcpu->pages;
		break;
	}
	mv->mark.fd = core_file_of(first->file)->id;
	mv->mark.made = NULL;
	core_mm_use(mv->mm);
	r = mv->to->fops->unlocked_ioctl(NULL, KVM_CREATE_VM, 0);
	mv->mark.pages = NULL;
	first->target = mv->mark.made;
	mv->mark.made = NULL;
	if (r < 0)
		return core_move_fail(mv, r, "KVM_CREATE_VM");
	mv->vm_target = first->target;
	return 0;
}

static int make_file(struct core_move *mv, struct core_pair *p,
		     struct file *from, unsigned int cmd, unsigned long arg)
{
	char name[CORE_NAME_LEN];
	struct file *file;

	file = core_replay_make(&mv->mark, from, cmd, arg);
	if (IS_ERR(file))
		return core_move_fail(mv, PTR_ERR(file), "the target refuses %s",
				      core_ioctl_name(cmd, name));
	p->target = file;
	return 0;
}

static struct file *vcpu_target(struct core_move *mv, int id)
{
	struct core_file *cf;
	struct core_pair *p;

	for_each_vcpu(cf, p, mv)
		if (cf->id == id)
			return p->target;
	return NULL;
}

static int make_other(struct core_move *mv, struct core_pair *p)
{
	struct core_file *cf = core_file_of(p->file);
	struct kvm_create_device vfio = { .type = KVM_DEV_TYPE_VFIO };
	struct file *vcpu;

	switch (cf->kind) {
	case CORE_FILE_DEVICE:
		return make_file(mv, p, mv->vm_target, KVM_CREATE_DEVICE,
				 (unsigned long)&vfio);
	case CORE_FILE_VM_STATS:
		return make_file(mv, p, mv->vm_target, KVM_GET_STATS_FD, 0);
	case CORE_FILE_VCPU_STATS:
		vcpu = vcpu_target(mv, cf->id);
		if (!vcpu)
			return core_move_fail(mv, -EOPNOTSUPP,
					      "statistics of a closed vCPU");
		return make_file(mv, p, vcpu, KVM_GET_STATS_FD, 0);
	default:
		return 0;
	}
}

static int make_target(struct core_move *mv)
{
	struct core_pair *p, *first;
	struct core_file *vm, *cf;
	enum core_phase phase;
	int r;

	first = list_first_entry(&mv->pairs, struct core_pair, link);
	vm = core_file_of(first->file);
	r = make_vm(mv, first);
	for (phase = 0; !r && phase < CORE_PHASE_VCPU; phase++)
		r = replay_phase(mv, vm, mv->vm_target, phase);
	if (r)
		return r;

	for_each_vcpu(cf, p, mv) {
		mv->mark.pages = cf->vcpu->pages;
		r = make_file(mv, p, mv->vm_target, KVM_CREATE_VCPU, cf->id);
		mv->mark.pages = NULL;
		if (r)
			return r;
		cf->vcpu->target = p->target;
	}
	for (; !r && phase < CORE_PHASE_DEVICE; phase++) {
		r = replay_phase(mv, vm, mv->vm_target, phase);
		for_each_vcpu(cf, p, mv)
			if (!r)
				r = replay_phase(mv, cf, p->target, phase);
	}
	list_for_each_entry(p, &mv->pairs, link)
		if (!r)
			r = make_other(mv, p);
	return r;
}

/* KVM undoes what it has mapped in there; of a process that has ended nothing is left. */
static void use_mm_of(const struct file *file)
{
	struct mm_struct *mm = core_file_of(file)->mm;

	core_mm_use(atomic_read(&mm->mm_users) ? mm : NULL);
}

/**
 * core_targets_drop - close the descriptors of a handoff's own
 * @mv: the handoff
 *
 * What is behind the targets, or after commit was behind the originals, is
 * destroyed.
 *
 * Context: the handoff's thread; sleeps.
 */
void core_targets_drop(struct core_move *mv)
{
	struct core_pair *p;

	list_for_each_entry_reverse(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		if (cf->vcpu)
			cf->vcpu->target = NULL;
		if (p->target) {
			use_mm_of(p->target);
			__fput_sync(p->target);
		}
		p->target = NULL;
	}
	mv->vm_target = NULL;
}

/* Pages of a VM, and of each of its vCPUs, as far as can be said. */
#define VM_PAGES	64
#define VCPU_PAGES	32
/* Bytes by which KVM describes a page of a memslot. */
#define PAGE_BYTES	2
/* A VMM's memslots are as large as it likes. */
#define MOST_PAGES	(SZ_64M / PAGE_SIZE)

/* About what the target is going to take, but for page tables. */
static unsigned long target_pages(struct core_move *mv)
{
	struct core_file *vm = core_file_of(mv->vm_file), *cf;
	unsigned long pages = VM_PAGES;
	struct core_entry *e;
	struct core_pair *p;

	for_each_vcpu(cf, p, mv)
		pages += VCPU_PAGES;
	mutex_lock(&vm->rec.lock);
	list_for_each_entry(e, &vm->rec.entries, link) {
		const struct kvm_userspace_memory_region *slot = (void *)e->data;

		if (e->cmd == KVM_SET_USER_MEMORY_REGION)
			pages += PFN_UP(PFN_UP(slot->memory_size) * PAGE_BYTES);
	}
	mutex_unlock(&vm->rec.lock);
	return min_t(unsigned long, pages, MOST_PAGES);
}

/**
 * core_stage_prepare - make the VM anew on the target
 * @mv: the handoff, after core_stage_record()
 *
 * Context: the handoff's thread, replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_stage_prepare(struct core_move *mv)
{
	int r;

	r = core_features_check(mv);
	if (r)
		return r;
	/* Without it the target may still do: what fails then, is said there. */
	core_charge_room(&mv->charge, target_pages(mv));
	r = make_target(mv);
	if (r)
		return r;
	/* Known before the first page is mapped; the devices come after the commit. */
	mv->noncoherent = mv->from->inst->ops->vm_noncoherent(mv->vm_file->private_data, 0);
	if (mv->noncoherent)
		mv->to->inst->ops->vm_noncoherent(mv->vm_target->private_data, 1);
	r = core_state_prepare(mv);
	if (!r)
		r = core_pi_prepare(mv);
	if (r)
		return r;
	/* A page that was there and went is left to the guest. */
	core_nowait_begin(&mv->mark);
	r = core_populate(mv);
	core_nowait_end(&mv->mark);
	return r;
}

/**
 * core_prepare_undo - undo core_stage_prepare(), complete or not
 * @mv: the handoff
 *
 * Context: the handoff's thread; sleeps.
 */
void core_prepare_undo(struct core_move *mv)
{
	if (mv->vm_target)
		core_unpin(mv, mv->vm_target);
	core_state_free(mv);
	core_targets_drop(mv);
}
