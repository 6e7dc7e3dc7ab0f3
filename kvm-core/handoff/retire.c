// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage retire: the source's VM is destroyed.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/delay.h>
#include <linux/module.h>

#include "core.h"
#include "private.h"

/**
 * core_stage_retire - the source's VM goes
 * @mv: the handoff, committed
 *
 * Context: the handoff's thread; sleeps.
 */
void core_stage_retire(struct core_move *mv)
{
	struct core_pair *p;

	/* The vCPUs go first, where they wait for this thread's CPU. */
	usleep_range(500, 1000);
	core_unpin(mv, mv->vm_file);
	core_state_free(mv);
	core_targets_drop(mv);

	list_for_each_entry(p, &mv->pairs, link) {
		struct core_file *cf = core_file_of(p->file);

		if (cf->kind == CORE_FILE_DEVICE &&
		    core_replay_phase(mv, cf, p->file, CORE_PHASE_DEVICE))
			pr_warn("VM %d: %s does not take a VFIO device back\n",
				mv->vm->id, mv->to->inst->name);
	}
	mv->to->inst->ops->vm_bypass(mv->vm_file->private_data);
	core_pi_retire(mv);
	core_file_dev_switch(mv->from, mv->to, mv->vm->mm);
}
