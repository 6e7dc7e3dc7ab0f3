// SPDX-License-Identifier: GPL-2.0-only
/*
 * How an ioctl gets to the instance. What kvm-core has to know of it, it copies once,
 * and the instance works on the copy: there is no second reading between which the
 * VMM could change memory or descriptors.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/err.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/uaccess.h>

#include "core.h"
#include "file.h"

static long call_inner(struct core_mark *mark, struct file *file, struct core_entry *e)
{
	const void *arg = e->len ? e->data : (const void *)e->arg;
	long r;

	mark->arg[0] = (struct core_range) { e->data, e->len };
	r = core_file_of(file)->inner->unlocked_ioctl(file, e->cmd, (unsigned long)arg);
	mark->arg[0] = (struct core_range) { NULL, 0 };
	return r;
}

/* Not when a record has let files of eventfds go. */
static bool has_files(const struct core_entry *e)
{
	return (e->file[0] || !e->ctx[0]) && (e->file[1] || !e->ctx[1]);
}

/* Of eventfds the record has contexts; the one of an irqfd as long as it is open. */
static noinline long call_with_eventfds(struct core_mark *mark, struct file *file,
					struct core_entry *e)
{
	struct file stand_in[ARRAY_SIZE(e->file)];
	struct file *eventfd = NULL;
	long r = 0;
	int i;

	for (i = 0; i < ARRAY_SIZE(e->file); i++) {
		mark->file[i] = e->file[i];
		if (e->file[i] || !e->ctx[i])
			continue;
		core_eventfd_stand_in(&stand_in[i], e->ctx[i]);
		mark->file[i] = &stand_in[i];
	}
	if (e->efd && !e->file[0]) {
		eventfd = core_eventfd_get(e->efd);
		mark->file[0] = eventfd;
	}
	/* Closed this moment: the irqfd is gone. */
	if (!e->efd || mark->file[0])
		r = call_inner(mark, file, e);
	memset(mark->file, 0, sizeof(mark->file));
	if (eventfd)
		fput(eventfd);
	return r;
}

/**
 * core_call_entry - an ioctl as it was recorded, or is about to be
 * @mark: of the current task, set
 * @file: the object; its gate is held, or nobody else can reach it
 * @e: the ioctl
 *
 * Context: process; sleeps. When @e is in a record, the lock of that is held.
 * Return: what the ioctl returns.
 */
long core_call_entry(struct core_mark *mark, struct file *file,
		     struct core_entry *e)
{
	long r;

	if (unlikely(!has_files(e)))
		return call_with_eventfds(mark, file, e);
	mark->file[0] = e->file[0];
	mark->file[1] = e->file[1];
	r = call_inner(mark, file, e);
	memset(mark->file, 0, sizeof(mark->file));
	return r;
}

/* What is recorded. */
static long call_copied(struct file *file, struct core_entry *e, void __user *arg)
{
	struct core_mark mark = { 0 };
	long r;

	core_mark_set(&mark);
	r = core_call_entry(&mark, file, e);
	core_mark_clear(&mark);
	/* KVM writes back what has one size (KVM_TPR_ACCESS_REPORTING). */
	if (r >= 0 && mark.wrote && copy_to_user(arg, e->data, _IOC_SIZE(e->cmd)))
		r = -EFAULT;
	return r;
}

/* What is not recorded, and yet has to be known: @in is a copy of the argument. */
static long call_with(struct file *file, unsigned int cmd, void *in, size_t len,
		      void __user *arg)
{
	struct core_mark mark = { .arg[0] = { in, len } };
	long r;

	core_mark_set(&mark);
	r = core_file_of(file)->inner->unlocked_ioctl(file, cmd, (unsigned long)in);
	core_mark_clear(&mark);
	if (r >= 0 && mark.wrote && copy_to_user(arg, in, len))
		r = -EFAULT;
	return r;
}

/* What userspace says of a line stays true on another instance. */
static long call_irq_line(struct core_vm *vm, struct file *file, unsigned int cmd,
			  void __user *arg)
{
	struct kvm_irq_level line;
	u32 irq, level;
	long r;

	if (copy_from_user(&line, arg, sizeof(line)))
		return -EFAULT;
	/* KVM_IRQ_LINE_STATUS answers in its place. */
	irq = line.irq;
	level = line.level;
	r = call_with(file, cmd, &line, sizeof(line), arg);
	if (r < 0 || irq >= CORE_LINES)
		return r;
	if (level)
		set_bit(irq, vm->lines);
	else
		clear_bit(irq, vm->lines);
	return r;
}

static long call_get_dirty(struct core_file *cf, struct file *file, void __user *arg)
{
	struct kvm_dirty_log log;
	long r;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	r = call_with(file, KVM_GET_DIRTY_LOG, &log, sizeof(log), arg);
	return r < 0 ? r : core_above.dirty_get(cf, &log);
}

static long call_clear_dirty(struct core_file *cf, struct file *file, void __user *arg)
{
	struct kvm_clear_dirty_log log;
	long r;

	if (copy_from_user(&log, arg, sizeof(log)))
		return -EFAULT;
	r = call_with(file, KVM_CLEAR_DIRTY_LOG, &log, sizeof(log), arg);
	return r < 0 ? r : core_above.dirty_clear(cf->vm, &log);
}

/* KVM_GET_* tells of it, or it changes nothing. */
static long call_state(struct core_file *cf, struct file *file, unsigned int cmd,
		       unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	if (cf->kind == CORE_FILE_VM) {
		switch (cmd) {
		case KVM_IRQ_LINE:
		case KVM_IRQ_LINE_STATUS:
			return call_irq_line(cf->vm, file, cmd, argp);
		/* A handoff has put something there, while no ioctl was under way. */
		case KVM_GET_DIRTY_LOG:
			if (unlikely(READ_ONCE(cf->vm->carry)))
				return call_get_dirty(cf, file, argp);
			break;
		case KVM_CLEAR_DIRTY_LOG:
			if (unlikely(READ_ONCE(cf->vm->carry)))
				return call_clear_dirty(cf, file, argp);
			break;
		}
	}
	return cf->inner->unlocked_ioctl(file, cmd, arg);
}

/* Configuration, or unknown. */
static long call_recorded(struct core_file *cf, struct file *file, unsigned int cmd,
			  unsigned long arg)
{
	struct core_entry *e = core_record_begin(cf, cmd, arg);
	long r;

	if (IS_ERR(e))
		return PTR_ERR(e);
	if (!e || !e->len)
		r = cf->inner->unlocked_ioctl(file, cmd, arg);
	else
		r = call_copied(file, e, (void __user *)arg);
	if (r >= 0 && e && e->cmd == KVM_SET_USER_MEMORY_REGION)
		core_above.dirty_region(cf->vm, (void *)e->data);
	core_record_end(cf, cmd, e, r);
	return r;
}

/**
 * core_call - an ioctl of the VMM's on a VM, a vCPU or a device
 * @cf: its descriptor; its gate is held
 * @file: the descriptor's
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Context: process; sleeps.
 * Return: what the ioctl returns.
 */
long core_call(struct core_file *cf, struct file *file, unsigned int cmd,
	       unsigned long arg)
{
	if (core_record_is_state(cf, cmd))
		return call_state(cf, file, cmd, arg);
	return call_recorded(cf, file, cmd, arg);
}

/**
 * core_call_file - an ioctl whose argument is a descriptor, which was looked up
 * @cf: of the object; its gate is held
 * @file: the object
 * @cmd: the ioctl
 * @named: the file
 *
 * Context: process; sleeps.
 * Return: what the ioctl returns.
 */
long core_call_file(struct core_file *cf, struct file *file, unsigned int cmd,
		    struct file *named)
{
	struct core_mark mark = { .file[0] = named };
	long r;

	core_mark_set(&mark);
	r = cf->inner->unlocked_ioctl(file, cmd, 0);
	core_mark_clear(&mark);
	return r;
}
