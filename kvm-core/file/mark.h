/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A task that calls an instance with what kvm-core has for it, instead of the
 * VMM's memory and descriptors.
 */
#ifndef __KVM_CORE_MARK_H
#define __KVM_CORE_MARK_H

#include <linux/list.h>
#include <linux/types.h>

struct file;
struct page;
struct task_struct;

/**
 * struct core_range - memory of kvm-core that an instance may take for user memory
 * @at:		first byte
 * @len:	bytes; an instance that reads or writes more gets -EFAULT
 */
struct core_range {
	const void *at;
	size_t len;
};

/**
 * struct core_mark - a task that calls an instance for kvm-core
 * @link:	in the table of such tasks, where two of them have the same place
 * @task:	likewise: the task. The rest is used by it alone
 * @replay:	a handoff calls: what is made is kvm-core's, and nobody hears of it.
 *		Otherwise it is a call of the VMM's whose argument was copied.
 * @nowait:	user memory that is not there is not waited for
 * @arg:	the argument of the ioctl that is called, and what that points to
 * @wrote:	the instance wrote to one of them
 * @file:	files that the argument's descriptors 0 and 1 stand for
 * @memcg:	of @replay: who pays for what is allocated
 * @pid:	of @replay: process that the VM belongs to, for names that KVM makes of it
 * @fd:		of @replay: descriptor that userspace has for what is created, likewise
 * @pages:	of @replay: pages for a vCPU that is created to take over, or NULL
 * @made:	of @replay: the file that the instance made
 */
struct core_mark {
	struct hlist_node link;
	struct task_struct *task;
	bool replay;
	bool nowait;
	struct core_range arg[2];
	bool wrote;
	struct file *file[2];
	struct mem_cgroup *memcg;
	pid_t pid;
	int fd;
	struct page **pages;
	struct file *made;
};

void core_mark_set(struct core_mark *mark);
void core_mark_clear(struct core_mark *mark);
struct core_mark *core_mark_current(void);

#endif
