// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failures of a handoff, for its tests: /sys/kernel/debug/kvm_core/inject.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/ktime.h>

#include "core.h"
#include "private.h"

/* Written by whoever tests; a value that is read late hits the next handoff. */
static u32 inject_error[KVM_CORE_STAGES];
static u32 inject_stall_ms[KVM_CORE_STAGES];
static u32 inject_hold[KVM_CORE_STAGES];
/* How many handoffs are held at the end of the stage. */
static u32 inject_held[KVM_CORE_STAGES];
static DEFINE_SPINLOCK(inject_lock);

/* For a test that looks at the VM meanwhile, and takes the time that it takes. */
static ktime_t hold(enum kvm_core_stage stage)
{
	ktime_t since = ktime_get();

	spin_lock(&inject_lock);
	inject_held[stage]++;
	spin_unlock(&inject_lock);
	while (READ_ONCE(inject_hold[stage]))
		usleep_range(1000, 2000);
	spin_lock(&inject_lock);
	inject_held[stage]--;
	spin_unlock(&inject_lock);
	return ktime_sub(ktime_get(), since);
}

/**
 * core_inject - the end of a stage that went well
 * @stage: the stage
 * @held: how long it was held, which is to count for nothing
 *
 * Context: process; sleeps for as long as was asked for, or until "hold" is 0.
 * Return: 0, or the error that was asked for.
 */
int core_inject(enum kvm_core_stage stage, ktime_t *held)
{
	u32 ms = READ_ONCE(inject_stall_ms[stage]);
	u32 error = READ_ONCE(inject_error[stage]);

	if (unlikely(ms))
		msleep(ms);
	*held = unlikely(READ_ONCE(inject_hold[stage])) ? hold(stage) : 0;
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
		debugfs_create_u32("hold", 0600, d, &inject_hold[stage]);
		debugfs_create_u32("held", 0400, d, &inject_held[stage]);
	}
}
