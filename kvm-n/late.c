// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest pages that come late are fetched by a worker, while the guest does something else
 * (async_pf). The worker waits for as long as the VMM likes: its memory may be a
 * userfaultfd's or FUSE's. Whoever destroys the vCPU would wait with it: the thread of a
 * handoff, or a VMM at its end, which then never closes the userfaultfd that both wait
 * for. So the fetching is cut short: get_user_pages_remote() ends when its task has a
 * SIGKILL pending, and the worker lets itself be sent one as long as it fetches.
 *
 * Nor does anybody else wait with it. A workqueue of the kernel's own runs so many works of
 * a CPU at a time and no more, which a few VMs whose pages do not come would take; so the
 * instance has one, and where LATE_MAX pages are being fetched the next vCPU fetches its
 * page itself, as KVM has it do whenever it cannot be done for it.
 */
#include <linux/atomic.h>
#include <linux/kvm_host.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "relay.h"
#include "compat.h"

/* On the stack of who fetches, or of who cuts that short. */
struct late {
	struct list_head	link;
	const struct work_struct *work;
	struct task_struct	*task;
};

/* Guards both lists. A task on the first one takes SIGKILL until it is off it. */
static DEFINE_SPINLOCK(late_lock);
static LIST_HEAD(late_fetching);
static LIST_HEAD(late_cutting);

/* Pages that are being fetched, or will be. vCPUs that ask at once may exceed it. */
#define LATE_MAX	256
static atomic_t late_pages = ATOMIC_INIT(0);
static struct workqueue_struct *late_wq;

/**
 * kvm_relay_late_init - before the instance has VMs
 *
 * Return: 0 or -ENOMEM.
 */
int __init kvm_relay_late_init(void)
{
	late_wq = alloc_workqueue("kvm-late", WQ_UNBOUND, 2 * LATE_MAX);
	return late_wq ? 0 : -ENOMEM;
}

/**
 * kvm_relay_late_exit - when it has none any more
 */
void kvm_relay_late_exit(void)
{
	destroy_workqueue(late_wq);
}

/**
 * kvm_relay_late_room - may a worker fetch one more page?
 *
 * Context: any. Return: false if the vCPU is to do it.
 */
bool kvm_relay_late_room(void)
{
	return atomic_read(&late_pages) < LATE_MAX;
}

/**
 * kvm_relay_late_queue - have a worker fetch a page
 * @work: the vCPU's work, which calls kvm_relay_late_fetch()
 *
 * Context: any.
 */
void kvm_relay_late_queue(struct work_struct *work)
{
	atomic_inc(&late_pages);
	queue_work(late_wq, work);
}

static bool is_cut(const struct work_struct *work)
{
	struct late *l;

	list_for_each_entry(l, &late_cutting, link)
		if (l->work == work)
			return true;
	return false;
}

static void end(struct late *l)
{
	spin_lock(&late_lock);
	list_del(&l->link);
	spin_unlock(&late_lock);
}

/**
 * kvm_relay_late_fetch - have a page in memory, if the vCPU lives so long
 * @mm: the VMM's
 * @addr: of the page
 *
 * Context: a worker, in the vCPU's work; sleeps until the page is there or
 * kvm_relay_late_cut() is called for the work.
 */
void kvm_relay_late_fetch(struct mm_struct *mm, unsigned long addr)
{
	struct late l = { .work = current_work(), .task = current };
	int locked = 1;
	bool go;

	allow_kernel_signal(SIGKILL);
	spin_lock(&late_lock);
	go = !is_cut(l.work);
	if (go)
		list_add(&l.link, &late_fetching);
	spin_unlock(&late_lock);
	if (go) {
		if (!mmap_read_lock_killable(mm)) {
			relay_gup_remote(mm, addr, 1, FOLL_WRITE, &locked);
			if (locked)
				mmap_read_unlock(mm);
		}
		end(&l);
	}
	/* With one that came when the page was there. */
	disallow_signal(SIGKILL);
	atomic_dec(&late_pages);
}

/**
 * kvm_relay_late_cut - nobody waits for a page any more
 * @work: the vCPU's work that fetches it
 *
 * Context: process, with the vCPU's mutex or where nobody can reach the vCPU; sleeps.
 * Return: as cancel_work_sync().
 */
bool kvm_relay_late_cut(struct work_struct *work)
{
	struct late own = { .work = work }, *l;
	bool pending;

	spin_lock(&late_lock);
	list_add(&own.link, &late_cutting);
	list_for_each_entry(l, &late_fetching, link)
		if (l->work == work)
			send_sig(SIGKILL, l->task, 1);
	spin_unlock(&late_lock);
	pending = cancel_work_sync(work);
	if (pending)
		atomic_dec(&late_pages);
	end(&own);
	return pending;
}
