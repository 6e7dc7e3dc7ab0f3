// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a handoff costs is charged to the VM's cgroups, and kills nobody.
 *
 * An allocation that a memory cgroup has no room for ends with its OOM killer, which
 * would take the VMM. KVM allocates as if the VMM had asked; so for the time that a
 * thread works for a handoff, it is marked as one that the OOM killer was told of already:
 * then the charge fails instead, at once. Since nothing is reclaimed for such a charge,
 * room is made before. Where the kernel has no such mark, what kvm-core and the instances
 * allocate is tried once and no more (alloc.c), and what the host does for them, an inode or
 * a thread, is the host's.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/cgroup.h>
#include <linux/gfp.h>
#include <linux/list.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/sched/task.h>
#include <relay/compat.h>

#include "core.h"
#include "private.h"

/* A CPU may keep so much of what was uncharged there to itself. */
#define STOCK	MEMCG_CHARGE_BATCH

static void set_no_oom(struct mem_cgroup *memcg)
{
#ifdef RELAY_MEMCG_IN_OOM
	/* Looked at by charges only, as this is no fault of userspace's: no reference. */
	current->memcg_in_oom = memcg;
#endif
}

/**
 * core_charge_begin - what the current task allocates is a VM's, and may fail
 * @ch: for core_charge_end()
 * @mm: the address space whose memory cgroup pays
 *
 * Context: process.
 */
void core_charge_begin(struct core_charge *ch, struct mm_struct *mm)
{
	ch->memcg = get_mem_cgroup_from_mm(mm);
	ch->outer = set_active_memcg(relay_pays_for_host(ch->memcg));
	set_no_oom(ch->memcg);
}

/**
 * core_charge_end - undo core_charge_begin()
 * @ch: from there
 *
 * Context: process.
 */
void core_charge_end(struct core_charge *ch)
{
	set_no_oom(NULL);
	set_active_memcg(ch->outer);
	mem_cgroup_put(ch->memcg);
}

/**
 * core_charge_room - have the memory cgroup reclaim what is going to be allocated
 * @ch: from core_charge_begin(), of the current task
 * @pages: how much
 *
 * What is free then is free for everybody: it makes a failure unlikely, no more.
 *
 * Context: process, the VM runs; sleeps, but not for a filesystem: a VMM may be behind
 * one.
 * Return: 0 or -ENOMEM.
 */
int core_charge_room(struct core_charge *ch, unsigned long pages)
{
	const gfp_t gfp = GFP_NOFS | __GFP_ACCOUNT | __GFP_RETRY_MAYFAIL |
			  __GFP_NOWARN;
	struct page *page, *next;
	LIST_HEAD(room);
	int r = 0;

	set_no_oom(NULL);
	for (pages += STOCK; pages; pages--) {
		page = alloc_page(gfp);
		if (!page) {
			r = -ENOMEM;
			break;
		}
		list_add(&page->lru, &room);
		cond_resched();
	}
	list_for_each_entry_safe(page, next, &room, lru)
		__free_page(page);
	set_no_oom(ch->memcg);
	return r;
}

/**
 * core_charge_cpu - the current thread gets its CPU time from a process's cgroups
 * @pid: the process that the VM is, or is going to be, of
 *
 * In the root of all hierarchies there is none to be had from. When its process is gone,
 * the handoff fails anyway.
 *
 * Context: a kernel thread; sleeps.
 */
void core_charge_cpu(struct pid *pid)
{
	struct task_struct *owner = get_pid_task(pid, PIDTYPE_TGID);

	if (!owner)
		return;
#ifdef CONFIG_CGROUPS
	/* The same set of cgroups: forks everywhere need not wait for nothing. */
	if (rcu_access_pointer(owner->cgroups) != rcu_access_pointer(current->cgroups))
		cgroup_attach_task_all(owner, current);
#endif
	put_task_struct(owner);
}
