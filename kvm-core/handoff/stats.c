// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM's statistics go on: what counts upwards, histograms and peaks have on the target the
 * value that they had on the source. What says how things are at the moment (pages that are
 * mapped) is the target's own. Two releases of KVM may have different statistics, so they
 * are matched by name before the VM stops. Who has a descriptor of KVM_GET_STATS_FD has read
 * the layout once and for all: then it has to be the same.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/err.h>
#include <linux/kvm.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <kvm-core/instance.h>

#include "core.h"
#include "private.h"
#include "state.h"

/* The name is a part of the structure in some kernels, and behind it in others. */
static size_t desc_size(void)
{
	return offsetof(struct kvm_stats_desc, name) + KVM_CORE_STATS_NAME;
}

static const struct kvm_stats_desc *desc_at(const struct kvm_core_statistics *stats,
					    unsigned int i)
{
	return (const void *)stats->desc + i * desc_size();
}

static bool same(const struct kvm_stats_desc *a, const struct kvm_stats_desc *b)
{
	return a->flags == b->flags && a->exponent == b->exponent && a->size == b->size &&
	       a->bucket_size == b->bucket_size && !strncmp(a->name, b->name, KVM_CORE_STATS_NAME);
}

static const struct kvm_stats_desc *find(const struct kvm_core_statistics *stats,
					 const struct kvm_stats_desc *what)
{
	unsigned int i;

	for (i = 0; i < stats->nr; i++)
		if (same(desc_at(stats, i), what))
			return desc_at(stats, i);
	return NULL;
}

static void add(struct core_stats_map *map, const struct kvm_stats_desc *from,
		const struct kvm_stats_desc *to)
{
	bool peak = (to->flags & KVM_STATS_TYPE_MASK) == KVM_STATS_TYPE_PEAK;
	struct kvm_core_stats_run *run;

	if (map->nr) {
		run = &map->runs[map->nr - 1];
		if (run->peak == peak && run->from + run->nr * sizeof(u64) == from->offset &&
		    run->to + run->nr * sizeof(u64) == to->offset) {
			run->nr += to->size;
			return;
		}
	}
	map->runs[map->nr++] = (struct kvm_core_stats_run) {
		.from = from->offset,
		.to = to->offset,
		.nr = to->size,
		.peak = peak,
	};
}

/* Whether who has read the layout of the one need not read that of the other. */
static bool same_layout(const struct kvm_core_statistics *a, const struct kvm_core_statistics *b)
{
	return a->nr == b->nr && !memcmp(a->desc, b->desc, a->nr * desc_size());
}

static bool is_open(struct core_move *mv, enum core_file_kind kind)
{
	struct core_pair *p;

	list_for_each_entry(p, &mv->pairs, link)
		if (core_file_of(p->file)->kind == kind)
			return true;
	return false;
}

static struct core_stats_map *match(const struct kvm_core_statistics *from,
				    const struct kvm_core_statistics *to)
{
	struct core_stats_map *map;
	unsigned int i;

	map = kvzalloc(struct_size(map, runs, to->nr), GFP_KERNEL_ACCOUNT);
	for (i = 0; map && i < to->nr; i++) {
		const struct kvm_stats_desc *there = desc_at(to, i), *here;

		if ((there->flags & KVM_STATS_TYPE_MASK) == KVM_STATS_TYPE_INSTANT)
			continue;
		here = find(from, there);
		if (here)
			add(map, here, there);
	}
	return map;
}

static int other_layout(struct core_move *mv)
{
	return core_move_fail(mv, -EOPNOTSUPP,
			      "statistics are open that the target has in another layout");
}

/**
 * core_stats_prepare_vm - match the statistics of the VM
 * @mv: the handoff; the target is there
 *
 * Context: the handoff's thread; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_stats_prepare_vm(struct core_move *mv)
{
	struct kvm_core_statistics from, to;

	mv->from->inst->ops->vm_stats(mv->vm_file->private_data, &from);
	mv->to->inst->ops->vm_stats(mv->vm_target->private_data, &to);
	if (is_open(mv, CORE_FILE_VM_STATS) && !same_layout(&from, &to))
		return other_layout(mv);
	mv->state->vm_stats = match(&from, &to);
	if (!mv->state->vm_stats)
		return core_move_fail(mv, -ENOMEM, "buffers");
	return 0;
}

/**
 * core_stats_prepare_vcpu - match the statistics of vCPUs, once for all of them
 * @mv: the handoff
 * @cf: a vCPU, which has its target
 *
 * Context: as core_stats_prepare_vm().
 * Return: likewise.
 */
int core_stats_prepare_vcpu(struct core_move *mv, struct core_file *cf)
{
	struct kvm_core_statistics from, to;

	if (mv->state->vcpu_stats)
		return 0;
	mv->from->inst->ops->vcpu_stats(cf->file->private_data, &from);
	mv->to->inst->ops->vcpu_stats(cf->vcpu->target->private_data, &to);
	if (is_open(mv, CORE_FILE_VCPU_STATS) && !same_layout(&from, &to))
		return other_layout(mv);
	mv->state->vcpu_stats = match(&from, &to);
	if (!mv->state->vcpu_stats)
		return core_move_fail(mv, -ENOMEM, "buffers");
	return 0;
}

/**
 * core_stats_vcpu - a vCPU's statistics go on
 * @mv: the handoff
 * @cf: the vCPU, which stands still on both sides
 *
 * Context: who has the vCPU in core_state_vcpu().
 */
void core_stats_vcpu(struct core_move *mv, struct core_file *cf)
{
	const struct core_stats_map *map = mv->state->vcpu_stats;
	struct kvm_core_statistics from;

	mv->from->inst->ops->vcpu_stats(cf->file->private_data, &from);
	mv->to->inst->ops->vcpu_stats_adopt(cf->vcpu->target->private_data, map->runs,
					    map->nr, from.data);
}

/**
 * core_stats_vm - the VM's statistics go on
 * @mv: the handoff; the VM has stopped
 *
 * Context: the handoff's thread.
 */
void core_stats_vm(struct core_move *mv)
{
	const struct core_stats_map *map = mv->state->vm_stats;
	struct kvm_core_statistics from;

	mv->from->inst->ops->vm_stats(mv->vm_file->private_data, &from);
	mv->to->inst->ops->vm_stats_adopt(mv->vm_target->private_data, map->runs, map->nr,
					  from.data);
}
