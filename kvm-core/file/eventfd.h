/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The eventfd of an irqfd, which is the VMM's to close: it is known here, and not
 * kept open.
 */
#ifndef __KVM_CORE_EVENTFD_H
#define __KVM_CORE_EVENTFD_H

#include <linux/kref.h>
#include <linux/poll.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

struct core_entry;
struct core_record;
struct eventfd_ctx;
struct file;

/**
 * struct core_eventfd - an eventfd that is waited for to be closed
 * @kref:	of the entry that it belongs to, and of @work while that is queued
 * @file:	without a reference; valid under the lock of @wqh as long as not @closed
 * @ctx:	with a reference, which keeps @wqh
 * @wqh:	where eventfd tells of its end, NULL before core_eventfd_watch()
 * @wait:	in there
 * @table:	how it got in there
 * @closed:	under the lock of @wqh
 * @work:	takes the entry off the record
 * @rec:	the record
 * @entry:	the entry in there, NULL when it is gone; under core_record.lock
 * @signalled:	a handoff took signals out of the counter while no instance listens
 * @held:	a handoff has the file, with a reference: it is not closed meanwhile
 */
struct core_eventfd {
	struct kref kref;
	struct file *file;
	struct eventfd_ctx *ctx;
	wait_queue_head_t *wqh;
	wait_queue_entry_t wait;
	poll_table table;
	bool closed;
	struct work_struct work;
	struct core_record *rec;
	struct core_entry *entry;
	bool signalled;
	struct file *held;
};

struct eventfd_ctx *core_eventfd_ctx(struct file *file);
void core_eventfd_stand_in(struct file *file, struct eventfd_ctx *ctx);

struct core_eventfd *core_eventfd_alloc(struct file *file);
void core_eventfd_watch(struct core_eventfd *efd, struct core_record *rec,
			struct core_entry *e);
struct file *core_eventfd_get(struct core_eventfd *efd);
bool core_eventfd_closed(struct core_eventfd *efd);
void core_eventfd_free(struct core_eventfd *efd);
void core_eventfd_flush(void);

int core_eventfd_init(void);
void core_eventfd_exit(void);

#endif
