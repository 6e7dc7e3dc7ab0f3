// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage record: which descriptors the VM has, and whether it can be set up again.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/fs.h>
#include <linux/file.h>
#include <linux/slab.h>
#include <relay/compat.h>

#include "core.h"
#include "private.h"

/**
 * core_pair_vcpu - the first vCPU
 * @mv: the handoff
 * @at: from here on in core_move.pairs
 *
 * Context: the handoff's thread.
 * Return: its pair, or NULL.
 */
struct core_pair *core_pair_vcpu(struct core_move *mv, struct list_head *at)
{
	while (at != &mv->pairs) {
		struct core_pair *p = list_entry(at, struct core_pair, link);

		if (core_file_of(p->file)->kind == CORE_FILE_VCPU)
			return p;
		at = at->next;
	}
	return NULL;
}

static int add_pair(struct core_move *mv, struct core_file *cf)
{
	struct core_pair *p;

	/* Being closed: it is off the list in a moment. */
	if (!relay_get_file_active(&cf->file))
		return 0;
	p = kzalloc(sizeof(*p), GFP_KERNEL);
	if (!p) {
		fput(cf->file);
		return core_move_fail(mv, -ENOMEM, "list of descriptors");
	}
	p->file = cf->file;
	list_add_tail(&p->link, &mv->pairs);
	if (cf->kind == CORE_FILE_VM)
		mv->vm_file = p->file;
	return 0;
}

/* The VM, the vCPUs, and the rest: 0, 1, 2. */
static int rank(const struct core_file *cf)
{
	return cf->kind == CORE_FILE_VM ? 0 : cf->kind == CORE_FILE_VCPU ? 1 : 2;
}

/**
 * core_pairs_drop - undo core_stage_record(), complete or not
 * @mv: the handoff; the targets are gone
 *
 * Context: the handoff's thread; sleeps.
 */
void core_pairs_drop(struct core_move *mv)
{
	struct core_pair *p, *n;

	list_for_each_entry_safe(p, n, &mv->pairs, link) {
		list_del(&p->link);
		fput(p->file);
		kfree(p);
	}
	mv->vm_file = NULL;
}

static int check_records(struct core_move *mv)
{
	struct core_pair *p;
	int r = 0;

	list_for_each_entry(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		spin_lock(&cf->rec.why_lock);
		if (cf->rec.why[0])
			r = core_move_fail(mv, -EOPNOTSUPP, "%s", cf->rec.why);
		spin_unlock(&cf->rec.why_lock);
	}
	return r;
}

/**
 * core_stage_record - which descriptors the VM has
 * @mv: the handoff; @mv->pairs is filled in
 *
 * Context: the handoff's thread; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_stage_record(struct core_move *mv)
{
	struct core_vm *vm = mv->vm;
	struct core_file *cf, *vcpu;
	struct core_pair *p;
	int i, r = 0;

	/* Before what it counts is looked at. */
	mv->changes = atomic64_read(&vm->changes);
	mutex_lock(&core_files_lock);
	for (i = 0; i <= 2; i++)
		list_for_each_entry(cf, &vm->files, link)
			if (!r && rank(cf) == i)
				r = add_pair(mv, cf);
	mutex_unlock(&core_files_lock);
	if (r)
		return r;
	if (!mv->vm_file)
		return core_move_fail(mv, -EOPNOTSUPP,
				      "the VM's own descriptor is closed");
	mv->args->vcpus = 0;
	for_each_vcpu(vcpu, p, mv)
		mv->args->vcpus++;
	if (mv->args->vcpus != atomic_read(&vm->vcpus_made))
		return core_move_fail(mv, -EOPNOTSUPP,
				      "the descriptor of a vCPU is closed");
	r = check_records(mv);
	return !r && mv->adopt ? core_adopt_record(mv) : r;
}
