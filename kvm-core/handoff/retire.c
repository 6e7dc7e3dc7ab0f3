// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage retire: devices go over, and the source's VM is destroyed.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/delay.h>
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/sched.h>

#include "core.h"
#include "private.h"

/* Of kvm-vfio, which is told of the VM that a group has, and no longer. */
static long set_group(struct core_move *mv, struct file *device, struct file *group,
		      u64 what)
{
	s32 fd = 0;
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_GROUP,
		.attr = what,
		.addr = (unsigned long)&fd,
	};
	long r;

	mv->mark.file[0] = group;
	r = core_replay_buffer(device, KVM_SET_DEVICE_ATTR, &attr, sizeof(attr), &fd,
			       sizeof(fd));
	mv->mark.file[0] = NULL;
	return r;
}

static void pass_groups(struct core_move *mv, struct core_pair *p)
{
	struct core_file *cf = core_file_of(p->file);
	struct core_entry *e;
	long r;

	mutex_lock(&cf->rec.lock);
	list_for_each_entry(e, &cf->rec.entries, link) {
		set_group(mv, p->target, e->file[0], KVM_DEV_VFIO_GROUP_DEL);
		r = set_group(mv, p->file, e->file[0], KVM_DEV_VFIO_GROUP_ADD);
		if (r < 0)
			pr_warn_ratelimited("VM %d: %s does not take a VFIO group: error %ld\n",
					    mv->vm->id, mv->to->inst->name, r);
	}
	mutex_unlock(&cf->rec.lock);
}

/**
 * core_devices_pass - VFIO groups and interrupt bypass go to the target
 * @mv: the handoff, committed; the gate and the eventfds are still held
 *
 * So no KVM_IRQFD or KVM_SET_DEVICE_ATTR of the VMM's comes in between. The vCPUs
 * run. No group and no producer has two VMs.
 *
 * Context: the handoff's thread, replaying; sleeps.
 */
void core_devices_pass(struct core_move *mv)
{
	struct core_pair *p;

	list_for_each_entry(p, &mv->pairs, link)
		if (core_file_of(p->file)->kind == CORE_FILE_DEVICE)
			pass_groups(mv, p);
	/* The devices count by themselves from here on. */
	if (mv->noncoherent)
		mv->to->inst->ops->vm_noncoherent(mv->vm_file->private_data, -1);
	mv->from->inst->ops->vm_bypass(mv->vm_target->private_data, false);
	mv->to->inst->ops->vm_bypass(mv->vm_file->private_data, true);
}

/* The guest runs: what is left to do is in no hurry, and may be a lot. */
#define RETIRE_NICE	10

/**
 * core_stage_retire - the source's VM goes
 * @mv: the handoff, committed
 *
 * Context: the handoff's thread; sleeps.
 */
void core_stage_retire(struct core_move *mv)
{
	/* The vCPUs go first, where they wait for this thread's CPU. */
	usleep_range(500, 1000);
	set_user_nice(current, RETIRE_NICE);
	core_unpin(mv, mv->vm_file);
	core_state_free(mv);
	core_targets_drop(mv);
	/* Who has adopted it has opened what it wants to have open. */
	if (!mv->adopt)
		core_file_dev_switch(mv->from, mv->to, mv->mm);
}
