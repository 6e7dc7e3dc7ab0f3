// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instance's ioctl handlers read and write user memory and look descriptors
 * up. While a task is marked here, they find what kvm-core gives them instead:
 * an address of the kernel is taken as such, a descriptor is a place in
 * core_replay.file, and a file that is made stays with kvm-core. The VMM's
 * descriptor table and address space are not touched.
 *
 * The instance asks in the functions that it has wrapped (kvm-n/replay.c). For
 * every other task a kernel address fails there as it always does.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/file.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/hashtable.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "core.h"
#include "file/file.h"
#include "replay.h"

/* Tasks that replay, and how many; under replays_lock. */
static DEFINE_HASHTABLE(replays, 6);
static unsigned int replays_count;
static DEFINE_SPINLOCK(replays_lock);

/**
 * core_replay_begin - from here on the current task calls for kvm-core
 * @rp: filled in; has to stay until core_replay_end()
 * @pid: process of the VM, in the initial namespace
 *
 * Context: process.
 */
void core_replay_begin(struct core_replay *rp, pid_t pid)
{
	memset(rp, 0, sizeof(*rp));
	rp->task = current;
	rp->pid = pid;
	spin_lock(&replays_lock);
	hash_add(replays, &rp->link, (unsigned long)current);
	replays_count++;
	spin_unlock(&replays_lock);
}

/**
 * core_replay_end - undo core_replay_begin()
 * @rp: as given there
 *
 * Context: process.
 */
void core_replay_end(struct core_replay *rp)
{
	spin_lock(&replays_lock);
	hash_del(&rp->link);
	replays_count--;
	spin_unlock(&replays_lock);
}

/**
 * core_replay_current - what the current task replays
 *
 * Context: process.
 * Return: as given to core_replay_begin(), or NULL.
 */
struct core_replay *core_replay_current(void)
{
	struct core_replay *rp, *found = NULL;

	/* A task that is in the table put itself there. */
	if (!READ_ONCE(replays_count))
		return NULL;
	spin_lock(&replays_lock);
	hash_for_each_possible(replays, rp, link, (unsigned long)current) {
		if (rp->task == current) {
			found = rp;
			break;
		}
	}
	spin_unlock(&replays_lock);
	return found;
}

/**
 * kvm_core_replaying - does the current task call for kvm-core?
 *
 * Context: process.
 */
bool kvm_core_replaying(void)
{
	return core_replay_current();
}
EXPORT_SYMBOL_GPL(kvm_core_replaying);

/**
 * kvm_core_replay_file - the file that a descriptor stands for
 * @fd: in the argument of the ioctl that is replayed
 *
 * Context: process.
 * Return: the file, held by the caller of the ioctl; NULL when there is none.
 */
struct file *kvm_core_replay_file(unsigned int fd)
{
	struct core_replay *rp = core_replay_current();

	if (!rp || fd >= ARRAY_SIZE(rp->file))
		return NULL;
	return rp->file[fd];
}
EXPORT_SYMBOL_GPL(kvm_core_replay_file);

/**
 * kvm_core_replay_fd - the descriptor that userspace has for what is made now
 *
 * Context: process.
 * Return: a number for names only, or -ENOENT if the task does not replay.
 */
int kvm_core_replay_fd(void)
{
	struct core_replay *rp = core_replay_current();

	return rp ? rp->fd : -ENOENT;
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
	struct core_replay *rp = core_replay_current();

	if (WARN_ON_ONCE(!rp || rp->made))
		return;
	rp->made = file;
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
	struct core_replay *rp = core_replay_current();

	return rp ? rp->pid : task_pid_nr(current);
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
	struct core_replay *rp = core_replay_current();

	if (rp && rp->pages && rp->pages[which]) {
		get_page(rp->pages[which]);
		return rp->pages[which];
	}
	return alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
}
EXPORT_SYMBOL_GPL(kvm_core_vcpu_page);

/**
 * core_replay_ioctl - an ioctl with its argument in the kernel
 * @file: of the instance's object; its gate need not be held when nobody else
 *	can reach it, or when the caller holds the handoff's locks
 * @cmd: the ioctl
 * @arg: argument, or what it points to
 *
 * Context: process, between core_replay_begin() and core_replay_end(), in the
 * VM's address space; sleeps.
 * Return: what the ioctl returns.
 */
long core_replay_ioctl(struct file *file, unsigned int cmd, const void *arg)
{
	struct core_file *cf = core_file_of(file);

	return cf->inner->unlocked_ioctl(file, cmd, (unsigned long)arg);
}

/**
 * core_replay_make - an ioctl that makes a file
 * @rp: of the current task
 * @file: as for core_replay_ioctl()
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Context: as for core_replay_ioctl().
 * Return: the file or an ERR_PTR().
 */
struct file *core_replay_make(struct core_replay *rp, struct file *file,
			      unsigned int cmd, unsigned long arg)
{
	struct core_file *cf = core_file_of(file);
	struct file *made;
	long r;

	rp->made = NULL;
	r = cf->inner->unlocked_ioctl(file, cmd, arg);
	made = rp->made;
	rp->made = NULL;
	if (r < 0) {
		if (made)
			__fput_sync(made);
		return ERR_PTR(r);
	}
	return made ?: ERR_PTR(-ENOTTY);
}

/* The bitmaps follow the structure, in order; record.c put them there. */
static void point_at_bitmaps(struct core_entry *e)
{
	struct kvm_msr_filter *f = (void *)e->data;
	u8 *at = e->data + sizeof(*f);
	int i;

	for (i = 0; i < ARRAY_SIZE(f->ranges); i++) {
		f->ranges[i].bitmap = at;
		at += ALIGN(DIV_ROUND_UP(f->ranges[i].nmsrs, 8), 8);
	}
}

/**
 * core_replay_entry - what userspace has set up once, anew
 * @rp: of the current task
 * @file: the object to set up
 * @e: what was recorded; its descriptors are renumbered
 *
 * Context: as for core_replay_ioctl(); the lock of the record is held.
 * Return: what the ioctl returns.
 */
long core_replay_entry(struct core_replay *rp, struct file *file,
		       struct core_entry *e)
{
	const void *arg = e->len ? e->data : (const void *)e->arg;
	struct file *eventfd = NULL;
	struct kvm_device_attr attr;
	s32 zero = 0;
	long r;

	if (e->efd) {
		eventfd = core_eventfd_get(e->efd);
		/* Closed this moment: the irqfd is gone. */
		if (!eventfd)
			return 0;
	}
	rp->file[0] = e->file[0];
	rp->file[1] = e->file[1];
	switch (e->cmd) {
	case KVM_IRQFD:
		((struct kvm_irqfd *)e->data)->fd = 0;
		((struct kvm_irqfd *)e->data)->resamplefd = 1;
		break;
	case KVM_IOEVENTFD:
		((struct kvm_ioeventfd *)e->data)->fd = 0;
		break;
	case KVM_X86_SET_MSR_FILTER:
		point_at_bitmaps(e);
		break;
	case KVM_SET_DEVICE_ATTR:
		attr = *(struct kvm_device_attr *)e->data;
		attr.addr = (unsigned long)&zero;
		arg = &attr;
		break;
	}
	r = core_replay_ioctl(file, e->cmd, arg);
	memset(rp->file, 0, sizeof(rp->file));
	if (eventfd)
		fput(eventfd);
	return r;
}
