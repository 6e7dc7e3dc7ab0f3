// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a handoff costs is charged to the VM's cgroups.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/cgroup.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>

#include "core.h"
#include "private.h"

/**
 * core_charge_cpu - the current thread gets its CPU time from a VM's cgroups
 * @vm: the VM
 *
 * In the root of all hierarchies there is none to be had from. When its process is gone,
 * the handoff fails anyway.
 *
 * Context: a kernel thread; sleeps.
 */
void core_charge_cpu(struct core_vm *vm)
{
	struct task_struct *owner = get_pid_task(vm->pid, PIDTYPE_TGID);

	if (!owner)
		return;
#ifdef CONFIG_CGROUPS
	/* The same set of cgroups: forks everywhere need not wait for nothing. */
	if (rcu_access_pointer(owner->cgroups) != rcu_access_pointer(current->cgroups))
		cgroup_attach_task_all(owner, current);
#endif
	put_task_struct(owner);
}
