// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage move: the vCPUs' state, each in its own thread, and the VM's.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/kvm.h>
#include <linux/wait.h>

#include "core.h"
#include "private.h"

static int move_vcpus(struct core_move *mv)
{
	struct core_file *cf;
	struct core_pair *p;
	int r = 0;

	/* A VMM's thread has no way into the adopter's address space. */
	for_each_vcpu(cf, p, mv)
		if (READ_ONCE(cf->vcpu->parked) && !mv->adopt)
			/* After all that was prepared. */
			smp_store_release(&cf->vcpu->work, core_state_vcpu);
	wake_up_all(&mv->vm->wait);
	for_each_vcpu(cf, p, mv) {
		if (cf->vcpu->held || mv->adopt)
			cf->vcpu->result = core_state_vcpu(mv, cf);
	}
	for_each_vcpu(cf, p, mv) {
		/* Before the result: pairs with do_work(). */
		wait_event(mv->vm->wait, !smp_load_acquire(&cf->vcpu->work));
		r = r ?: cf->vcpu->result;
	}
	return r;
}

/* Last: what the target wrote while it got its state is added to them. */
static int take_rings(struct core_move *mv)
{
	int r;

	r = mv->to->inst->ops->vm_take_rings(mv->vm_target->private_data,
					     mv->vm_file->private_data);
	if (r)
		return core_move_fail(mv, r, "dirty rings");
	mv->rings = true;
	return 0;
}

/**
 * core_rings_undo - the dirty rings are the source's again, if they were not
 * @mv: the handoff
 *
 * Context: the handoff's thread; sleeps.
 */
void core_rings_undo(struct core_move *mv)
{
	if (mv->rings)
		WARN_ON_ONCE(mv->from->inst->ops->vm_take_rings(mv->vm_file->private_data,
								mv->vm_target->private_data));
	mv->rings = false;
}

/**
 * core_stage_move - state goes from the source to the target
 * @mv: the handoff; the VM stands still
 *
 * Context: the handoff's thread, replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_stage_move(struct core_move *mv)
{
	int r;

	r = core_state_vm_first(mv);
	if (!r)
		r = move_vcpus(mv);
	if (!r)
		r = core_state_vm_last(mv);
	return r ?: take_rings(mv);
}
