/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calling an instance's ioctls from kvm-core, with arguments in kernel memory.
 */
#ifndef __KVM_CORE_REPLAY_H
#define __KVM_CORE_REPLAY_H

#include <linux/list.h>
#include <linux/types.h>

#include <kvm-core/instance.h>

struct core_entry;
struct cred;
struct file;
struct task_struct;

/**
 * struct core_replay - a task that calls an instance for kvm-core
 * @link:	in the table of such tasks
 * @task:	the task; the rest is used by it alone
 * @pid:	process that the VM belongs to, for names that KVM makes of it
 * @fd:		descriptor that userspace has for what is being created, likewise
 * @file:	files that the argument's descriptors 0 and 1 stand for
 * @pages:	pages for a vCPU that is being created to take over, or NULL
 * @made:	the file that the instance made
 */
struct core_replay {
	struct hlist_node link;
	struct task_struct *task;
	pid_t pid;
	int fd;
	struct file *file[2];
	struct page **pages;
	struct file *made;
};

void core_replay_begin(struct core_replay *rp, pid_t pid);
void core_replay_end(struct core_replay *rp);
struct core_replay *core_replay_current(void);

long core_replay_ioctl(struct file *file, unsigned int cmd, const void *arg);
long core_replay_entry(struct core_replay *rp, struct file *file,
		       struct core_entry *e);
struct file *core_replay_make(struct core_replay *rp, struct file *file,
			      unsigned int cmd, unsigned long arg);

#endif
