// SPDX-License-Identifier: GPL-2.0-only
/*
 * The eventfds of irqfds. An irqfd ends with its eventfd, so the record of the one
 * must not keep the other open.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/slab.h>
#include <relay/compat.h>

#include "eventfd.h"
#include "record.h"

/* Its own, so that a record can wait for what may still look at it. */
static struct workqueue_struct *closed_wq;

/* What an eventfd's file has; written once, always with the same. */
static const struct file_operations *eventfd_fops;

/**
 * core_eventfd_ctx - the context of an eventfd
 * @file: any file, held
 *
 * Context: process.
 * Return: the context, with a reference for eventfd_ctx_put(), or an ERR_PTR(), which
 * is -EINVAL when @file is no eventfd.
 */
struct eventfd_ctx *core_eventfd_ctx(struct file *file)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fileget(file);

	if (IS_ERR(ctx))
		return ctx;
	if (WARN_ON_ONCE(file->private_data != ctx)) {
		eventfd_ctx_put(ctx);
		return ERR_PTR(-EINVAL);
	}
	WRITE_ONCE(eventfd_fops, file->f_op);
	return ctx;
}

/**
 * core_eventfd_stand_in - a file for an eventfd that the VMM may have closed
 * @file: filled in; good for eventfd_ctx_fileget(), and not to be kept
 * @ctx: from core_eventfd_ctx(), still held
 *
 * KVM keeps the context and not the file, and there is no other way than by a file to
 * get a further reference on a context.
 *
 * Context: any.
 */
void core_eventfd_stand_in(struct file *file, struct eventfd_ctx *ctx)
{
	memset(file, 0, sizeof(*file));
	file->f_op = READ_ONCE(eventfd_fops);
	file->private_data = ctx;
}

static void efd_release(struct kref *kref)
{
	struct core_eventfd *efd = container_of(kref, struct core_eventfd, kref);

	eventfd_ctx_put(efd->ctx);
	kfree(efd);
}

static void closed_work(struct work_struct *work)
{
	struct core_eventfd *efd = container_of(work, struct core_eventfd, work);

	core_record_closed(efd);
	kref_put(&efd->kref, efd_release);
}

/* Under the lock of the queue; for KVM, which is first in there, come the signals. */
static int on_wake(wait_queue_entry_t *wait, unsigned int mode, int sync, void *key)
{
	struct core_eventfd *efd = container_of(wait, struct core_eventfd, wait);

	if (key_to_poll(key) & EPOLLHUP && !efd->closed) {
		efd->closed = true;
		kref_get(&efd->kref);
		queue_work(closed_wq, &efd->work);
	}
	return 0;
}

static void on_poll(struct file *file, wait_queue_head_t *wqh, poll_table *table)
{
	struct core_eventfd *efd = container_of(table, struct core_eventfd, table);

	efd->wqh = wqh;
	add_wait_queue(wqh, &efd->wait);
}

/**
 * core_eventfd_alloc - prepare to watch an eventfd
 * @file: any file
 *
 * Context: process; sleeps.
 * Return: it, an ERR_PTR(), which is -EINVAL when @file is no eventfd.
 */
struct core_eventfd *core_eventfd_alloc(struct file *file)
{
	struct eventfd_ctx *ctx = core_eventfd_ctx(file);
	struct core_eventfd *efd;

	if (IS_ERR(ctx))
		return ERR_CAST(ctx);
	efd = kzalloc(sizeof(*efd), GFP_KERNEL_ACCOUNT);
	if (!efd) {
		eventfd_ctx_put(ctx);
		return ERR_PTR(-ENOMEM);
	}
	kref_init(&efd->kref);
	efd->file = file;
	efd->ctx = ctx;
	init_waitqueue_func_entry(&efd->wait, on_wake);
	init_poll_funcptr(&efd->table, on_poll);
	INIT_WORK(&efd->work, closed_work);
	return efd;
}

/**
 * core_eventfd_watch - when the eventfd is closed, its entry leaves the record
 * @efd: from core_eventfd_alloc(), and the caller has a reference on its file
 * @rec: the record; its lock is held
 * @e: the entry
 *
 * Context: process.
 */
void core_eventfd_watch(struct core_eventfd *efd, struct core_record *rec,
			struct core_entry *e)
{
	efd->rec = rec;
	efd->entry = e;
	vfs_poll(efd->file, &efd->table);
}

/**
 * core_eventfd_get - the file, as long as the VMM has it open
 * @efd: after core_eventfd_watch(); the lock of the record is held
 *
 * Context: process.
 * Return: the file with a reference, or NULL.
 */
struct file *core_eventfd_get(struct core_eventfd *efd)
{
	struct file *file = NULL;

	/* Who closes it says so under this lock before the file is freed. */
	spin_lock_irq(&efd->wqh->lock);
	if (!efd->closed)
		file = relay_get_file_active(&efd->file);
	spin_unlock_irq(&efd->wqh->lock);
	return file;
}

/**
 * core_eventfd_closed - the eventfd's end was told, to KVM before
 * @efd: after core_eventfd_watch(); the lock of the record is held
 *
 * Context: process.
 */
bool core_eventfd_closed(struct core_eventfd *efd)
{
	bool closed;

	spin_lock_irq(&efd->wqh->lock);
	closed = efd->closed;
	spin_unlock_irq(&efd->wqh->lock);
	return closed;
}

/**
 * core_eventfd_free - the entry goes
 * @efd: of the entry, may be NULL; after core_eventfd_watch() the lock of the record
 *	is held
 *
 * Context: process.
 */
void core_eventfd_free(struct core_eventfd *efd)
{
	if (!efd)
		return;
	if (efd->wqh)
		remove_wait_queue(efd->wqh, &efd->wait);
	efd->entry = NULL;
	kref_put(&efd->kref, efd_release);
}

/**
 * core_eventfd_flush - wait for eventfds that have been closed
 *
 * After this nothing looks at a record all of whose entries are freed.
 *
 * Context: process; sleeps. No lock of a record held.
 */
void core_eventfd_flush(void)
{
	flush_workqueue(closed_wq);
}

/**
 * core_eventfd_init - prepare this file
 *
 * Return: 0 or -ENOMEM.
 */
int __init core_eventfd_init(void)
{
	closed_wq = alloc_workqueue("kvm_core_eventfd", 0, 0);
	return closed_wq ? 0 : -ENOMEM;
}

/**
 * core_eventfd_exit - undo core_eventfd_init()
 *
 * Context: process; sleeps. No VM is left.
 */
void core_eventfd_exit(void)
{
	destroy_workqueue(closed_wq);
}
