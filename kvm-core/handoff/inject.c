// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failures of a handoff, for its tests: /sys/kernel/debug/kvm_core/inject.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>

#include "core.h"
#include "private.h"

/* Written by whoever tests; a value that is read late hits the next handoff. */
static u32 inject_error[KVM_CORE_STAGES];
static u32 inject_stall_ms[KVM_CORE_STAGES];

/**
 * core_inject - the end of a stage that went well
 * @stage: the stage
 *
 * Context: process; sleeps for as long as was asked for.
 * Return: 0, or the error that was asked for.
 */
int core_inject(enum kvm_core_stage stage)
{
	u32 ms = READ_ONCE(inject_stall_ms[stage]);
	u32 error = READ_ONCE(inject_error[stage]);

	if (unlikely(ms))
		msleep(ms);
	/* What is committed cannot fail. */
	if (likely(!error) || error > MAX_ERRNO ||
	    stage > KVM_CORE_STAGE_COMMIT)
		return 0;
	return -(int)error;
}

/**
 * core_inject_init - make the files
 * @dir: directory of kvm-core in debugfs, which takes them along
 *
 * Context: process; sleeps.
 */
void core_inject_init(struct dentry *dir)
{
	struct dentry *all = debugfs_create_dir("inject", dir), *d;
	enum kvm_core_stage stage;

	for (stage = 0; stage < KVM_CORE_STAGES; stage++) {
		d = debugfs_create_dir(core_stage_name(stage), all);
		debugfs_create_u32("error", 0600, d, &inject_error[stage]);
		debugfs_create_u32("stall_ms", 0600, d, &inject_stall_ms[stage]);
	}
}
