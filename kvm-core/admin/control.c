// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/kvm-core: the operator's way in. The interface is
 * include/uapi/linux/kvm_core.h.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/capability.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/kobject.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "core.h"
#include "admin.h"
#include "file/file.h"
#include "handoff/handoff.h"

/* Copies what was asked for; nothing else of the caller's comes back to it. */
static int copy_args(struct kvm_core_move *args,
		     const struct kvm_core_move __user *from)
{
	struct kvm_core_move in;

	if (copy_from_user(&in, from, sizeof(in)))
		return -EFAULT;
	if (in.flags & ~(KVM_CORE_MOVE_DRY_RUN | KVM_CORE_MOVE_NO_POPULATE))
		return -EINVAL;
	if (in.reserved || in.timeout_ms > KVM_CORE_MAX_TIMEOUT_MS ||
	    in.deadline_us > KVM_CORE_MAX_DEADLINE_US)
		return -EINVAL;
	if (strnlen(in.instance, sizeof(in.instance)) == sizeof(in.instance))
		return -EINVAL;
	memset(args, 0, sizeof(*args));
	args->vm = in.vm;
	args->fd = in.fd;
	args->flags = in.flags;
	args->deadline_us = in.deadline_us;
	args->timeout_ms = in.timeout_ms;
	strscpy(args->instance, in.instance, sizeof(args->instance));
	return 0;
}

static int fail(struct kvm_core_move *args, int error, const char *reason)
{
	args->error = -error;
	strscpy(args->reason, reason, sizeof(args->reason));
	return error;
}

/* Why an instance is no target. */
static int no_target(struct kvm_core_move *args)
{
	const struct core_instance *ci;

	mutex_lock(&core_lock);
	ci = core_find_locked(args->instance);
	if (ci)
		snprintf(args->reason, sizeof(args->reason), "%s takes no VMs: it is %s",
			 ci->inst->name, core_state_name(ci));
	else
		strscpy(args->reason, "no such instance is loaded", sizeof(args->reason));
	mutex_unlock(&core_lock);
	args->error = ENODEV;
	return -ENODEV;
}

/* With what the operator sees of it afterwards. */
static int move_vm(struct core_vm *vm, struct core_instance *to, struct kvm_core_move *args,
		   bool own)
{
	int r;

	r = core_move(vm, to, args, own);
	core_history_add(vm, args, own ? KVM_CORE_HANDOFF_OWN : 0);
	return r;
}

static int move_to(struct core_vm *vm, struct kvm_core_move *args, bool own)
{
	struct core_instance *to;
	int r;

	to = core_get_by_name(args->instance);
	if (!to)
		return no_target(args);
	args->vm = vm->id;
	r = move_vm(vm, to, args, own);
	core_put(to);
	return r;
}

/*
 * For the operator's handoffs: a VMM that asks for its own gets the reason, and could
 * fill the log. The command's name is a VMM's, too.
 */
static void log_failure(struct core_vm *vm, const struct kvm_core_move *args)
{
	struct core_owner owner;

	/* Without an instance it has not begun. */
	if (!args->error || args->error == EALREADY || !*args->from)
		return;
	core_vm_owner(vm, &owner);
	pr_warn("VM %d (%*pEhp, pid %d) stays on %s: stage %s: %s (error %u)\n", vm->id,
		(int)strlen(owner.comm), owner.comm, pid_nr(owner.pid), args->from,
		core_stage_name(args->stage), args->reason, args->error);
	core_owner_exit(&owner);
}

static struct core_vm *vm_of_fd(int fd)
{
	struct core_vm *vm = NULL;
	struct file *file = fget(fd);

	if (!file)
		return NULL;
	if (core_is_file(file) && core_file_of(file)->vm)
		vm = core_vm_get(core_file_of(file)->vm->id);
	fput(file);
	return vm;
}

static int do_one(struct kvm_core_move *args)
{
	struct core_vm *vm;
	int r;

	vm = args->vm ? core_vm_get(args->vm) : vm_of_fd(args->fd);
	if (!vm)
		return fail(args, -ENOENT, "no such VM");
	r = move_to(vm, args, false);
	log_failure(vm, args);
	core_vm_put(vm);
	return r;
}

static long ioctl_move(struct kvm_core_move __user *arg)
{
	struct kvm_core_move *args;
	long r;

	args = kzalloc(sizeof(*args), GFP_KERNEL);
	if (!args)
		return -ENOMEM;
	r = copy_args(args, arg);
	if (!r) {
		r = do_one(args);
		if (copy_to_user(arg, args, sizeof(*args)))
			r = -EFAULT;
	}
	kfree(args);
	return r;
}

static int do_all(struct kvm_core_move_all *all, const struct kvm_core_move *want)
{
	struct kvm_core_move failed = { 0 };
	struct core_instance *to;
	struct core_vm *vm;
	int id, r = 0;

	to = core_get_by_name(want->instance);
	if (!to)
		return no_target(&all->move);
	for (id = core_vm_next(0); id; id = core_vm_next(id)) {
		vm = core_vm_get(id);
		if (!vm)
			continue;
		all->move = *want;
		all->move.vm = id;
		r = move_vm(vm, to, &all->move, false);
		log_failure(vm, &all->move);
		core_vm_put(vm);
		if (!r) {
			all->moved++;
		} else if (r == -EALREADY) {
			all->here++;
		} else {
			all->failed++;
			failed = all->move;
		}
	}
	core_put(to);
	if (!all->failed)
		return 0;
	all->move = failed;
	return -(int)failed.error;
}

static long ioctl_move_all(struct kvm_core_move_all __user *arg)
{
	struct kvm_core_move_all *all;
	struct kvm_core_move *want;
	long r = -ENOMEM;

	all = kzalloc(sizeof(*all), GFP_KERNEL);
	want = kzalloc(sizeof(*want), GFP_KERNEL);
	if (!all || !want)
		goto out;
	r = copy_args(want, &arg->move);
	if (r)
		goto out;
	all->move = *want;
	r = do_all(all, want);
	if (copy_to_user(arg, all, sizeof(*all)))
		r = -EFAULT;
out:
	kfree(all);
	kfree(want);
	return r;
}

static long ioctl_list(struct kvm_core_instance_info __user *arg)
{
	struct kvm_core_instance_info info = { 0 };
	struct core_instance *ci;
	bool found = false;
	u32 index, i = 0;

	if (get_user(index, &arg->index))
		return -EFAULT;
	info.index = index;
	mutex_lock(&core_lock);
	list_for_each_entry(ci, &core_instances, link) {
		if (i++ != index)
			continue;
		found = true;
		info.number = ci->inst->number;
		info.vms = atomic_read(&ci->vms);
		if (core_default_locked() == ci)
			info.flags |= KVM_CORE_INSTANCE_DEFAULT;
		strscpy(info.name, ci->inst->name, sizeof(info.name));
		strscpy(info.source, ci->inst->source, sizeof(info.source));
		strscpy(info.state, core_state_name(ci), sizeof(info.state));
	}
	mutex_unlock(&core_lock);
	if (!found)
		return -ENOENT;
	return copy_to_user(arg, &info, sizeof(info)) ? -EFAULT : 0;
}

/**
 * core_set_default - choose the instance that /dev/kvm opens
 * @name: its name, or the empty string for the one loaded last
 *
 * Context: process; sleeps.
 * Return: 0, or -ENODEV if no such instance is live.
 */
int core_set_default(const char *name)
{
	int r;

	mutex_lock(&core_lock);
	r = core_pin_default(name);
	core_debugfs_default();
	mutex_unlock(&core_lock);
	return r;
}

static long ioctl_set_default(const struct kvm_core_name __user *arg)
{
	struct kvm_core_name name;

	if (copy_from_user(&name, arg, sizeof(name)))
		return -EFAULT;
	if (strnlen(name.name, sizeof(name.name)) == sizeof(name.name))
		return -EINVAL;
	return core_set_default(name.name);
}

/**
 * core_set_draining - an instance takes no VMs any more, or takes them again
 * @ci: the instance
 * @drain: no more
 *
 * Context: process; sleeps; core_lock held.
 * Return: 0, or -ENODEV if the instance is not in service.
 */
int core_set_draining(struct core_instance *ci, bool drain)
{
	int r = core_vm_drain(ci, drain);

	core_debugfs_default();
	return r;
}

static long ioctl_drain(const struct kvm_core_drain __user *arg)
{
	struct kvm_core_drain drain;
	struct core_instance *ci;
	int r = -ENODEV;

	if (copy_from_user(&drain, arg, sizeof(drain)))
		return -EFAULT;
	if (drain.flags & ~KVM_CORE_DRAIN_UNDO || drain.reserved ||
	    strnlen(drain.name, sizeof(drain.name)) == sizeof(drain.name))
		return -EINVAL;
	mutex_lock(&core_lock);
	ci = core_find_locked(drain.name);
	if (ci)
		r = core_set_draining(ci, !(drain.flags & KVM_CORE_DRAIN_UNDO));
	mutex_unlock(&core_lock);
	return r;
}

static long control_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case KVM_CORE_LIST:
		return ioctl_list(argp);
	case KVM_CORE_SET_DEFAULT:
		return ioctl_set_default(argp);
	case KVM_CORE_DRAIN:
		return ioctl_drain(argp);
	case KVM_CORE_MOVE:
		return ioctl_move(argp);
	case KVM_CORE_MOVE_ALL:
		return ioctl_move_all(argp);
	case KVM_CORE_HISTORY:
		return core_history_get(argp);
	case KVM_CORE_STATS:
		return core_history_stats(argp);
	case KVM_CORE_FAILURES:
		return core_history_failures(argp);
	default:
		return -ENOTTY;
	}
}

/* Once open, the descriptor may be given to who has not the capability. */
static int control_open(struct inode *inode, struct file *file)
{
	return capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
}

static const struct file_operations control_fops = {
	.owner = THIS_MODULE,
	.open = control_open,
	.unlocked_ioctl = control_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice control_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "kvm-core",
	.fops = &control_fops,
	.mode = 0600,
};

/**
 * core_control_move_self - KVM_CORE_VM_MOVE: a VMM asks for its own VM
 * @vm: the VM
 * @arg: the argument
 *
 * Context: process, without the VM's gate; sleeps.
 * Return: as core_move().
 */
long core_control_move_self(struct core_vm *vm,
			    struct kvm_core_move __user *arg)
{
	struct kvm_core_move *args;
	long r;

	if (!vm)
		return -ENOENT;
	args = kzalloc(sizeof(*args), GFP_KERNEL);
	if (!args)
		return -ENOMEM;
	r = copy_args(args, arg);
	if (!r) {
		r = move_to(vm, args, true);
		if (copy_to_user(arg, args, sizeof(*args)))
			r = -EFAULT;
	}
	kfree(args);
	return r;
}

/* As copy_args(); the arrays are left to core_adopt(). */
static int copy_adopt(struct kvm_core_adopt *args, struct kvm_core_adopt __user *from)
{
	if (copy_from_user(args, from, offsetof(struct kvm_core_adopt, move)))
		return -EFAULT;
	if (args->argsz != sizeof(*args) || args->flags ||
	    memchr_inv(args->reserved, 0, sizeof(args->reserved)))
		return -EINVAL;
	return copy_args(&args->move, &from->move);
}

static int adopt_to(struct core_vm *vm, struct kvm_core_adopt *args)
{
	struct core_instance *to = NULL;
	int r;

	if (args->move.instance[0]) {
		to = core_get_by_name(args->move.instance);
		if (!to)
			return no_target(&args->move);
	}
	args->move.vm = vm->id;
	r = core_adopt(vm, to, args);
	core_history_add(vm, &args->move, KVM_CORE_HANDOFF_ADOPT);
	if (to)
		core_put(to);
	return r;
}

/**
 * core_control_adopt - KVM_CORE_VM_ADOPT: a process takes a VM into its address space
 * @vm: the VM
 * @arg: the argument
 *
 * Context: process, without the VM's gate; sleeps.
 * Return: as core_adopt().
 */
long core_control_adopt(struct core_vm *vm, struct kvm_core_adopt __user *arg)
{
	struct kvm_core_adopt *args;
	long r;

	if (!vm)
		return -ENOENT;
	args = kzalloc(sizeof(*args), GFP_KERNEL);
	if (!args)
		return -ENOMEM;
	r = copy_adopt(args, arg);
	if (!r) {
		r = adopt_to(vm, args);
		if (copy_to_user(&arg->move, &args->move, sizeof(args->move)))
			r = -EFAULT;
	}
	kfree(args);
	return r;
}

/**
 * core_control_event - tell udev
 * @env: strings NAME=VALUE, NULL behind the last
 *
 * Context: process; sleeps.
 */
void core_control_event(char **env)
{
	kobject_uevent_env(&control_misc.this_device->kobj, KOBJ_CHANGE, env);
}

/**
 * core_control_init - make /dev/kvm-core
 *
 * Context: process; sleeps.
 * Return: 0 or an error of misc_register().
 */
int core_control_init(void)
{
	return misc_register(&control_misc);
}

/**
 * core_control_exit - undo core_control_init()
 *
 * Context: process; sleeps.
 */
void core_control_exit(void)
{
	core_history_flush();
	misc_deregister(&control_misc);
}
