// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instance's ioctl handlers read and write user memory and look descriptors
 * up. While a task is marked here, they find what kvm-core gives them instead:
 * the argument that kvm-core copied, and the files that it looked up, once. So
 * what is recorded and what the instance does cannot differ.
 *
 * The instance asks in the functions that it has wrapped (kvm-n/replay.c). An
 * address of the kernel is taken as such only within core_mark.arg; any other
 * fails there as it always does.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/atomic.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/hash.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/spinlock.h>

#include <kvm-core/instance.h>

#include "mark.h"

#define MARK_BITS 6

/**
 * struct mark_bucket - some of the marked tasks
 * @task:	one of them, without a reference; NULL when @mark is free. Taken by
 *		cmpxchg(), and given back by that task
 * @mark:	of @task, which alone reads and writes it
 * @lock:	protects @head; a mark is on its task's stack, and gone afterwards
 * @head:	struct core_mark of the tasks that came when @task was another one
 */
struct mark_bucket {
	struct task_struct *task;
	struct core_mark *mark;
	spinlock_t lock;		/* see above */
	struct hlist_head head;
} ____cacheline_aligned_in_smp;

static struct mark_bucket marks[1 << MARK_BITS] = {
	[0 ... (1 << MARK_BITS) - 1] = {
		.lock = __SPIN_LOCK_UNLOCKED(marks.lock),
	},
};

static struct mark_bucket *bucket_of_current(void)
{
	return &marks[hash_ptr(current, MARK_BITS)];
}

static noinline void mark_list_add(struct mark_bucket *b, struct core_mark *mark)
{
	mark->task = current;
	spin_lock(&b->lock);
	hlist_add_head(&mark->link, &b->head);
	spin_unlock(&b->lock);
}

static noinline void mark_list_del(struct mark_bucket *b, struct core_mark *mark)
{
	spin_lock(&b->lock);
	hlist_del(&mark->link);
	spin_unlock(&b->lock);
}

static noinline struct core_mark *mark_list_find(struct mark_bucket *b)
{
	struct core_mark *mark, *found = NULL;

	spin_lock(&b->lock);
	hlist_for_each_entry(mark, &b->head, link) {
		if (mark->task == current) {
			found = mark;
			break;
		}
	}
	spin_unlock(&b->lock);
	return found;
}

/**
 * core_mark_set - from here on the current task calls for kvm-core
 * @mark: zeroed but for what it gives; has to stay until core_mark_clear(). A task has
 *	one at a time
 *
 * Context: process.
 */
void core_mark_set(struct core_mark *mark)
{
	struct mark_bucket *b = bucket_of_current();

	if (unlikely(cmpxchg(&b->task, NULL, current)))
		mark_list_add(b, mark);
	else
		b->mark = mark;
}

/**
 * core_mark_clear - undo core_mark_set()
 * @mark: as given there, by the same task
 *
 * Context: process.
 */
void core_mark_clear(struct core_mark *mark)
{
	struct mark_bucket *b = bucket_of_current();

	if (unlikely(READ_ONCE(b->task) != current)) {
		mark_list_del(b, mark);
		return;
	}
	/* After the last use of @mark by this task: pairs with cmpxchg(). */
	smp_store_release(&b->task, NULL);
}

/**
 * core_mark_current - what the current task calls with
 *
 * Context: process.
 * Return: as given to core_mark_set(), or NULL.
 */
struct core_mark *core_mark_current(void)
{
	struct mark_bucket *b = bucket_of_current();

	/* A task that is in the table put itself there. */
	if (READ_ONCE(b->task) == current)
		return b->mark;
	if (likely(hlist_empty(&b->head)))
		return NULL;
	return mark_list_find(b);
}

static struct core_mark *current_replay(void)
{
	struct core_mark *mark = core_mark_current();

	return mark && mark->replay ? mark : NULL;
}

/**
 * kvm_core_replaying - does a handoff call in the current task?
 *
 * Context: process.
 */
bool kvm_core_replaying(void)
{
	return current_replay();
}
EXPORT_SYMBOL_GPL(kvm_core_replaying);

/**
 * kvm_core_alloc_begin - something is about to be allocated
 * @gfp: changed so that it fails where a handoff's would end with the OOM killer
 * @outer: for kvm_core_alloc_end()
 *
 * For kernels in which a task cannot say so once (kvm-core/handoff/charge.c).
 *
 * Context: any.
 * Return: true if kvm_core_alloc_end() is to be called.
 */
bool kvm_core_alloc_begin(gfp_t *gfp, struct mem_cgroup **outer)
{
	struct core_mark *mark = current_replay();

	if (likely(!mark))
		return false;
	if (!(*gfp & __GFP_RETRY_MAYFAIL))
		*gfp |= __GFP_NORETRY | __GFP_NOWARN;
	*outer = set_active_memcg(mark->memcg);
	return true;
}
EXPORT_SYMBOL_GPL(kvm_core_alloc_begin);

/**
 * kvm_core_alloc_end - it was, or was not
 * @outer: from kvm_core_alloc_begin()
 *
 * Context: any.
 */
void kvm_core_alloc_end(struct mem_cgroup *outer)
{
	set_active_memcg(outer);
}
EXPORT_SYMBOL_GPL(kvm_core_alloc_end);

/**
 * kvm_core_nowait - is user memory that is not there to be done without?
 *
 * Context: process.
 */
bool kvm_core_nowait(void)
{
	struct core_mark *mark = core_mark_current();

	return mark && mark->nowait;
}
EXPORT_SYMBOL_GPL(kvm_core_nowait);

/**
 * kvm_core_arg - may this address of the kernel be read or written for userspace's
 * @at: where
 * @len: bytes
 * @write: it is to be written
 *
 * Context: process.
 * Return: true if all of it is the argument that kvm-core calls with.
 */
bool kvm_core_arg(const void *at, size_t len, bool write)
{
	struct core_mark *mark = core_mark_current();
	int i;

	for (i = 0; mark && i < ARRAY_SIZE(mark->arg); i++) {
		const struct core_range *r = &mark->arg[i];

		if (at < r->at || len > r->len ||
		    (size_t)(at - r->at) > r->len - len)
			continue;
		mark->wrote = mark->wrote || write;
		return true;
	}
	return false;
}
EXPORT_SYMBOL_GPL(kvm_core_arg);

/**
 * kvm_core_arg_file - the file that a descriptor in the argument stands for
 * @fd: the descriptor
 * @file: set to the file, which is held by the caller of the ioctl, or to NULL if
 *	there is none
 *
 * Context: process.
 * Return: false if the task is not marked: the descriptor is the task's own.
 */
bool kvm_core_arg_file(unsigned int fd, struct file **file)
{
	struct core_mark *mark = core_mark_current();

	if (!mark)
		return false;
	*file = fd < ARRAY_SIZE(mark->file) ? mark->file[fd] : NULL;
	return true;
}
EXPORT_SYMBOL_GPL(kvm_core_arg_file);

/**
 * kvm_core_replay_fd - the descriptor that userspace has for what is made now
 *
 * Context: process.
 * Return: a number for names only, or -ENOENT if no handoff calls.
 */
int kvm_core_replay_fd(void)
{
	struct core_mark *mark = current_replay();

	return mark ? mark->fd : -ENOENT;
}
EXPORT_SYMBOL_GPL(kvm_core_replay_fd);

/**
 * kvm_core_replay_made - a file was made
 * @file: with the only reference, which goes over to kvm-core
 *
 * Context: process.
 */
void kvm_core_replay_made(struct file *file)
{
	struct core_mark *mark = current_replay();

	if (WARN_ON_ONCE(!mark || mark->made))
		return;
	mark->made = file;
}
EXPORT_SYMBOL_GPL(kvm_core_replay_made);

/**
 * kvm_core_owner_pid - the process that a VM is being created for
 *
 * Context: process.
 * Return: its number in the initial namespace.
 */
int kvm_core_owner_pid(void)
{
	struct core_mark *mark = current_replay();

	return mark ? mark->pid : task_pid_nr(current);
}
EXPORT_SYMBOL_GPL(kvm_core_owner_pid);

/**
 * kvm_core_vcpu_page - a page that userspace maps through a vCPU's descriptor
 * @which: its offset in the mapping
 *
 * Context: process; sleeps.
 * Return: a zeroed page, or the one of the vCPU that the new one takes over
 * from, with a reference more; freed with free_page() either way. NULL when
 * memory is out.
 */
struct page *kvm_core_vcpu_page(unsigned int which)
{
	struct core_mark *mark = current_replay();

	if (mark && mark->pages && mark->pages[which]) {
		get_page(mark->pages[which]);
		return mark->pages[which];
	}
	return alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
}
EXPORT_SYMBOL_GPL(kvm_core_vcpu_page);
