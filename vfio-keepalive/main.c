// SPDX-License-Identifier: GPL-2.0-only
/*
 * vfio-keepalive: /dev/vfio-keepalive, and the ioctls on it and on a session's
 * descriptor. The interface is include/uapi/linux/vfio_keepalive.h.
 */
#define pr_fmt(fmt) "vfio-keepalive: " fmt

#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/ctype.h>
#include <linux/device.h>
#include <linux/kobject.h>
#include <linux/minmax.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "private.h"

static struct ratelimit_state events;

/* What every argument begins with */
struct head {
	u32 argsz;
	u32 flags;
};

union args {
	struct head head;
	struct vfio_keepalive_info info;
	struct vfio_keepalive_item item;
	struct vfio_keepalive_release release;
	struct vfio_keepalive_add add;
	struct vfio_keepalive_index index;
	struct vfio_keepalive_opaque opaque;
	struct vfio_keepalive_confirm confirm;
};

/**
 * keepalive_args - copy an argument from the caller
 * @args: where to; its first member is its size
 * @size: of @args
 * @least: what it was when it first was
 * @from: where from; what is not there is zero
 *
 * Return: 0; -EFAULT, -EINVAL for one that is shorter than ever was, -E2BIG.
 */
int keepalive_args(void *args, size_t size, size_t least, const void __user *from)
{
	u32 argsz;
	int r;

	if (get_user(argsz, (const u32 __user *)from))
		return -EFAULT;
	if (argsz < least)
		return -EINVAL;
	if (argsz > PAGE_SIZE)
		return -E2BIG;
	r = copy_struct_from_user(args, size, from, argsz);
	if (r)
		return r;
	/* What was checked, whatever is there now. */
	((struct head *)args)->argsz = argsz;
	return 0;
}

/**
 * keepalive_name_ok - may this be shown to people?
 * @name: VFIO_KEEPALIVE_NAME_LEN bytes
 *
 * Return: true for printable ASCII that ends, the empty name included.
 */
bool keepalive_name_ok(const char *name)
{
	size_t i, n = strnlen(name, VFIO_KEEPALIVE_NAME_LEN);

	for (i = 0; i < n; i++)
		if (!isascii(name[i]) || !isprint(name[i]))
			return false;
	return n < VFIO_KEEPALIVE_NAME_LEN;
}

static long run_info(struct caller *by, union args *args)
{
	return info_session(by, &args->info);
}

static long run_item(struct caller *by, union args *args)
{
	return info_item(by, &args->item);
}

static long run_release(struct caller *by, union args *args)
{
	return session_release(by, &args->release);
}

static long run_add(struct caller *by, union args *args)
{
	return item_add(by->session, &args->add);
}

static long run_remove(struct caller *by, union args *args)
{
	return item_remove(by->session, &args->index);
}

static long run_get_fd(struct caller *by, union args *args)
{
	return item_get_fd(by->session, &args->index);
}

static long run_set_state(struct caller *by, union args *args)
{
	return item_set_state(by->session, &args->opaque);
}

static long run_get_state(struct caller *by, union args *args)
{
	return item_get_state(by->session, &args->opaque);
}

static long run_confirm(struct caller *by, union args *args)
{
	return claim_confirm(by->session);
}

#define ON_ALL	(ON_DEVICE | ON_SESSION | ON_WATCH)

static const struct op {
	unsigned int cmd;
	unsigned int on;
	u32 flags;	/* those that it knows */
	u32 size;
	u32 least;	/* what the size was first, 0 if it is that */
	bool result;
	long (*run)(struct caller *by, union args *args);
} ops[] = {
	{ VFIO_KEEPALIVE_INFO, ON_ALL, VFIO_KEEPALIVE_NEXT,
	  sizeof(struct vfio_keepalive_info), VFIO_KEEPALIVE_INFO_SIZE_VER0, true, run_info },
	{ VFIO_KEEPALIVE_ITEM, ON_ALL, VFIO_KEEPALIVE_ITEM_NEXT | VFIO_KEEPALIVE_ITEM_BY_NAME,
	  sizeof(struct vfio_keepalive_item), 0, true, run_item },
	{ VFIO_KEEPALIVE_RELEASE, ON_ALL, VFIO_KEEPALIVE_RELEASE_FORCE,
	  sizeof(struct vfio_keepalive_release), 0, false, run_release },
	{ VFIO_KEEPALIVE_ADD, ON_SESSION, VFIO_KEEPALIVE_ADD_REQUEST,
	  sizeof(struct vfio_keepalive_add), 0, false, run_add },
	{ VFIO_KEEPALIVE_REMOVE, ON_SESSION, 0,
	  sizeof(struct vfio_keepalive_index), 0, false, run_remove },
	{ VFIO_KEEPALIVE_GET_FD, ON_SESSION, 0,
	  sizeof(struct vfio_keepalive_index), 0, false, run_get_fd },
	{ VFIO_KEEPALIVE_SET_STATE, ON_SESSION, 0,
	  sizeof(struct vfio_keepalive_opaque), 0, false, run_set_state },
	{ VFIO_KEEPALIVE_GET_STATE, ON_SESSION, 0,
	  sizeof(struct vfio_keepalive_opaque), 0, true, run_get_state },
	{ VFIO_KEEPALIVE_CONFIRM, ON_SESSION, 0,
	  sizeof(struct vfio_keepalive_confirm), 0, false, run_confirm },
};

/**
 * keepalive_ioctl - those that more than one descriptor has, or a session's alone
 * @by: by what it came
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Context: process.
 * Return: as the ioctl; -ENOTTY.
 */
long keepalive_ioctl(struct caller *by, unsigned int cmd, void __user *arg)
{
	const struct op *op;
	union args args;
	long r;

	for (op = ops; op < ops + ARRAY_SIZE(ops); op++)
		if (op->cmd == cmd)
			break;
	if (op == ops + ARRAY_SIZE(ops) || !(op->on & by->on))
		return -ENOTTY;
	by->admin = by->on == ON_DEVICE && capable(CAP_SYS_ADMIN);
	r = keepalive_args(&args, op->size, op->least ?: op->size, arg);
	if (r)
		return r;
	if (args.head.flags & ~op->flags)
		return -EINVAL;
	r = op->run(by, &args);
	/* An error may have a result too: how much room is needed. */
	if (op->result && (!r || r == -ENOSPC) &&
	    copy_to_user(arg, &args, min(args.head.argsz, op->size)))
		r = -EFAULT;
	return r;
}

static long device_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct caller by = { .on = ON_DEVICE };
	void __user *argp = (void __user *)arg;

	switch (cmd) {
	case VFIO_KEEPALIVE_CREATE:
		return session_create(argp);
	case VFIO_KEEPALIVE_CLAIM:
		return claim_session(argp);
	case VFIO_KEEPALIVE_WATCH:
		return watch_session(argp);
	}
	return keepalive_ioctl(&by, cmd, argp);
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = device_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vfio-keepalive",
	.fops = &device_fops,
	.mode = 0660,
};

/**
 * keepalive_event - tell udev what has become of a session
 * @session: has a reference
 * @event: one word
 *
 * Names are not in it: a rule that has one in a command line would let its owner write
 * there. Who makes sessions in a row is told of now and then only.
 *
 * Context: process, without keepalive_lock; sleeps.
 */
void keepalive_event(const struct session *session, const char *event)
{
	char what[40], id[40], uid[40];
	char *env[4] = { what, id, uid };

	if (!__ratelimit(&events))
		return;
	snprintf(what, sizeof(what), "KVM_RELAY_EVENT=%s", event);
	snprintf(id, sizeof(id), "KVM_RELAY_SESSION=%u", session->id);
	snprintf(uid, sizeof(uid), "KVM_RELAY_UID=%u", from_kuid(&init_user_ns, session->uid));
	kobject_uevent_env(&device.this_device->kobj, KOBJ_CHANGE, env);
}

static int __init keepalive_init(void)
{
	int r;

	/* What is left out is no matter for the kernel's log. */
	ratelimit_state_init(&events, 5 * HZ, 50);
	ratelimit_set_flags(&events, RATELIMIT_MSG_ON_RELEASE);
	r = session_setup();
	if (r)
		return r;
	r = oom_setup();
	if (r)
		goto out_session;
	r = misc_register(&device);
	if (r)
		goto out_oom;
	return 0;

out_oom:
	oom_cleanup();
out_session:
	session_cleanup();
	return r;
}

static void __exit keepalive_exit(void)
{
	misc_deregister(&device);
	oom_cleanup();
	session_cleanup();
}

module_init(keepalive_init);
module_exit(keepalive_exit);

MODULE_DESCRIPTION("Passed-through devices that outlive their VMM");
MODULE_LICENSE("GPL");
