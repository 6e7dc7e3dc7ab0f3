// SPDX-License-Identifier: GPL-2.0-only
/*
 * A handoff calls the ioctls of an instance: with arguments in the kernel, each with the
 * length that is there for it, so that an instance which thinks otherwise gets -EFAULT.
 * The VMM's descriptor table and address space are not touched.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kthread.h>
#include <linux/kvm.h>
#include <linux/overflow.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "core.h"
#include "private.h"

/**
 * core_replay_begin - from here on the current task calls for a handoff
 * @mark: filled in; has to stay until core_mark_clear()
 * @pid: process of the VM, in the initial namespace
 * @memcg: who pays for what is allocated
 *
 * Context: process.
 */
void core_replay_begin(struct core_mark *mark, pid_t pid, struct mem_cgroup *memcg)
{
	memset(mark, 0, sizeof(*mark));
	mark->replay = true;
	mark->pid = pid;
	mark->memcg = memcg;
	core_mark_set(mark);
}

/**
 * core_nowait_begin - from here on the current task waits for no user memory
 * @mark: the task's
 *
 * An instance that reads or writes guest memory finds what is mapped in the VMM's page
 * tables and gets an error for the rest, by copying (pagefault_disable()) as by
 * get_user_pages() (kvm-n/replay.c).
 *
 * Context: process. The task may sleep until core_nowait_end().
 */
void core_nowait_begin(struct core_mark *mark)
{
	mark->nowait = true;
	pagefault_disable();
}

/**
 * core_nowait_end - undo core_nowait_begin()
 * @mark: the task's
 *
 * Context: process.
 */
void core_nowait_end(struct core_mark *mark)
{
	pagefault_enable();
	mark->nowait = false;
}

/**
 * core_mm_use - go on in an address space
 * @mm: that which the object that is called next belongs to, or NULL for none. It is that
 *	of the VM, but for an adoption, which has two.
 *
 * Context: the handoff's thread; a vCPU's, which is in @mm already.
 */
void core_mm_use(struct mm_struct *mm)
{
	if (likely(current->mm == mm))
		return;
	if (WARN_ON_ONCE(!(current->flags & PF_KTHREAD)))
		return;
	if (current->mm)
		kthread_unuse_mm(current->mm);
	if (mm)
		kthread_use_mm(mm);
}

static void give(const void *arg, size_t len, const void *more, size_t more_len)
{
	struct core_mark *mark = core_mark_current();

	if (WARN_ON_ONCE(!mark))
		return;
	mark->arg[0] = (struct core_range) { arg, len };
	mark->arg[1] = (struct core_range) { more, more_len };
}

/**
 * core_replay_buffer - an ioctl whose argument has no size of its own
 * @file: of the instance's object; its gate need not be held when nobody else
 *	can reach it, or when the caller holds the handoff's locks
 * @cmd: the ioctl
 * @arg: what the argument points to
 * @len: how long that is
 * @more: what @arg points to, or NULL
 * @more_len: how long that is
 *
 * Context: process, between core_replay_begin() and core_mark_clear(); sleeps. It is in
 * the address space of the object from here on.
 * Return: what the ioctl returns; -EFAULT if the instance wants more than that.
 */
long core_replay_buffer(struct file *file, unsigned int cmd, const void *arg,
			size_t len, const void *more, size_t more_len)
{
	struct core_file *cf = core_file_of(file);
	long r;

	core_mm_use(cf->mm);
	give(arg, len, more, more_len);
	r = cf->inner->unlocked_ioctl(file, cmd, (unsigned long)arg);
	give(NULL, 0, NULL, 0);
	return r;
}

/**
 * core_replay_system - an ioctl of an instance's /dev/kvm
 * @ci: the instance
 * @cmd: the ioctl
 * @arg: what the argument points to
 * @len: how long that is
 *
 * Context: as for core_replay_buffer().
 * Return: what the ioctl returns.
 */
long core_replay_system(struct core_instance *ci, unsigned int cmd, const void *arg,
			size_t len)
{
	long r;

	give(arg, len, NULL, 0);
	r = ci->fops->unlocked_ioctl(NULL, cmd, (unsigned long)arg);
	give(NULL, 0, NULL, 0);
	return r;
}

/**
 * core_replay_ioctl - an ioctl with its argument in the kernel
 * @file: as for core_replay_buffer()
 * @cmd: the ioctl
 * @arg: a value, or points to what tells its own size
 *
 * Context: as for core_replay_buffer().
 * Return: what the ioctl returns.
 */
long core_replay_ioctl(struct file *file, unsigned int cmd, const void *arg)
{
	const struct kvm_device_attr *attr = arg;
	const struct kvm_nested_state *nested = arg;
	const struct kvm_msrs *msrs = arg;
	size_t len = _IOC_SIZE(cmd), more_len = 0;
	const void *more = NULL;

	switch (cmd) {
	case KVM_GET_MSRS:
	case KVM_SET_MSRS:
		len = struct_size(msrs, entries, msrs->nmsrs);
		break;
	case KVM_GET_NESTED_STATE:
	case KVM_SET_NESTED_STATE:
		len = nested->size;
		break;
	case KVM_GET_DEVICE_ATTR:
	case KVM_SET_DEVICE_ATTR:
		/* A vCPU's are of this size. */
		more = (const void *)(unsigned long)attr->addr;
		more_len = sizeof(u64);
		break;
	}
	return core_replay_buffer(file, cmd, arg, len, more, more_len);
}

/**
 * core_replay_make - an ioctl that makes a file
 * @mark: of the current task
 * @file: as for core_replay_buffer()
 * @cmd: the ioctl
 * @arg: its argument, a value or a pointer, as @cmd says
 *
 * Context: as for core_replay_buffer().
 * Return: the file or an ERR_PTR().
 */
struct file *core_replay_make(struct core_mark *mark, struct file *file,
			      unsigned int cmd, unsigned long arg)
{
	struct file *made;
	long r;

	mark->made = NULL;
	r = core_replay_ioctl(file, cmd, (const void *)arg);
	made = mark->made;
	mark->made = NULL;
	if (r < 0) {
		if (made)
			__fput_sync(made);
		return ERR_PTR(r);
	}
	return made ?: ERR_PTR(-ENOTTY);
}
