// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is kept for a VMM that is gone is the first to go when memory is short: better an
 * orphan than a VMM that runs.
 */
#include <linux/blk_types.h>
#include <linux/completion.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/jiffies.h>
#include <linux/magic.h>
#include <linux/notifier.h>
#include <linux/oom.h>
#include <linux/sched/mm.h>

#include "private.h"

/*
 * How long an allocation waits for an orphan to be released. That may itself wait for a
 * lock which the allocating task has, so it has an end, and then the kernel chooses.
 */
#define OOM_WAIT	(10 * HZ)

/* Nobody else has it, and no name leads to it. */
static bool is_last(struct file *file)
{
	return file_count(file) == 1 && d_count(file->f_path.dentry) == 1 &&
		!file_inode(file)->i_nlink;
}

/**
 * oom_frees - what a release would give back to the host
 * @session: the session
 *
 * Pages of hugetlbfs go back to their pool, where nobody finds them who is short of others.
 * How much devices have pinned of memory that is no item cannot be asked, nor what a VM has
 * in the kernel: it is a page.
 *
 * Context: keepalive_lock is held.
 * Return: bytes.
 */
u64 oom_frees(struct session *session)
{
	bool memory = false, pins = false;
	struct item *item;
	u64 blocks = 0;

	list_for_each_entry(item, &session->items, link) {
		const struct inode *inode = file_inode(item->file);

		pins |= item->kind == VFIO_KEEPALIVE_CONTAINER ||
			item->kind == VFIO_KEEPALIVE_VM;
		if (item->kind != VFIO_KEEPALIVE_MEMORY)
			continue;
		memory = true;
		if (inode->i_sb->s_magic == TMPFS_MAGIC && is_last(item->file))
			blocks += READ_ONCE(inode->i_blocks);
	}
	if (pins && !memory)
		return PAGE_SIZE;
	return blocks << SECTOR_SHIFT;
}

/*
 * The session to wait for, with a reference, or NULL: one that is being released, or the
 * orphan that frees most. While one is, no other has to go. keepalive_lock is held.
 */
static struct session *oom_choose(void)
{
	struct session *session, *largest = NULL;
	unsigned long id;
	u64 most = 0;

	xa_for_each(&sessions, id, session) {
		u64 bytes = session->phase == VFIO_KEEPALIVE_RELEASED ?
			session->frees : oom_frees(session);

		if (!bytes)
			continue;
		if (session->due) {
			largest = session;
			break;
		}
		if (session->phase == VFIO_KEEPALIVE_ORPHANED && bytes > most) {
			largest = session;
			most = bytes;
		}
	}
	/* It has been waited for once: the kernel has to find something else. */
	if (!largest || largest->waited)
		return NULL;
	if (!largest->due) {
		session_end(largest);
		largest->reason = "the host is out of memory";
	}
	largest->waited = true;
	session_get(largest);
	return largest;
}

/* In whoever allocates, with any lock. */
static int oom_notify(struct notifier_block *nb, unsigned long unused, void *data)
{
	unsigned long *freed = data;
	struct session *session;

	mutex_lock(&keepalive_lock);
	session = oom_choose();
	mutex_unlock(&keepalive_lock);
	if (!session)
		return NOTIFY_OK;
	if (wait_for_completion_timeout(&session->gone, OOM_WAIT))
		*freed += session->frees >> PAGE_SHIFT;
	session_put(session);
	return NOTIFY_OK;
}

static struct notifier_block oom_block = { .notifier_call = oom_notify };

/**
 * oom_setup - orphans give way from here on
 *
 * Return: 0, or as register_oom_notifier().
 */
int oom_setup(void)
{
	/* Lockdep is to know at once that reclaim may lead to the lock. */
	fs_reclaim_acquire(GFP_KERNEL);
	mutex_lock(&keepalive_lock);
	mutex_unlock(&keepalive_lock);
	fs_reclaim_release(GFP_KERNEL);
	return register_oom_notifier(&oom_block);
}

/**
 * oom_cleanup - nobody waits for a session any more
 */
void oom_cleanup(void)
{
	unregister_oom_notifier(&oom_block);
}
