// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage commit: what is behind the descriptors is exchanged.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include "core.h"
#include "private.h"

static void swap_files(struct core_move *mv)
{
	struct core_pair *p;

	list_for_each_entry(p, &mv->pairs, link)
		core_file_swap(p->file, p->target);
	core_vm_switch(mv->vm, mv->to, mv->vm_file->private_data);
	core_adopt_commit(mv);
}

/**
 * core_stage_commit - the VM is the target's
 * @mv: the handoff; all state is the target's
 *
 * Nothing can fail in here.
 *
 * Context: the handoff's thread; sleeps.
 */
void core_stage_commit(struct core_move *mv)
{
	core_pi_commit(mv);
	swap_files(mv);
	mv->to->inst->ops->vm_hold(mv->vm_file->private_data, false);
	mv->held = false;
	core_signals_give(mv);
	mv->vm->moves++;
	core_vcpus_release(mv);
}
