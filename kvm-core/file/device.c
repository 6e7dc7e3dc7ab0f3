// SPDX-License-Identifier: GPL-2.0-only
/*
 * The device nodes: /dev/kvm, and one for each instance.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "core.h"
#include "file.h"

static int core_device_open(struct inode *inode, struct file *file)
{
	struct core_instance *ci;
	int r;

	if (iminor(inode) == KVM_MINOR)
		ci = core_get_default();
	else
		ci = core_get_by_minor(iminor(inode));
	if (!ci)
		return -ENODEV;

	r = core_file_open(ci, file);
	if (r)
		core_put(ci);
	return r;
}

static const struct file_operations core_device_fops = {
	.owner = THIS_MODULE,
	.open = core_device_open,
	.llseek = noop_llseek,
};

/* The permissions that distributions give /dev/kvm; the group comes by udev. */
static struct miscdevice core_device_misc = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.fops = &core_device_fops,
	.mode = 0660,
};

/**
 * core_device_add - make /dev/kvm-VENDOR-N
 * @ci: the instance; opens are refused until it is live
 *
 * Context: process; sleeps.
 * Return: 0 or an error of misc_register().
 */
int core_device_add(struct core_instance *ci)
{
	ci->misc.minor = MISC_DYNAMIC_MINOR;
	ci->misc.name = ci->inst->name;
	ci->misc.fops = &core_device_fops;
	ci->misc.mode = 0660;
	return misc_register(&ci->misc);
}

/**
 * core_device_remove - undo core_device_add()
 * @ci: the instance
 *
 * Context: process; sleeps.
 */
void core_device_remove(struct core_instance *ci)
{
	misc_deregister(&ci->misc);
}

/**
 * core_device_kvm - the device behind /dev/kvm
 *
 * Context: any.
 */
struct device *core_device_kvm(void)
{
	return core_device_misc.this_device;
}

/**
 * core_device_init - make /dev/kvm
 *
 * Context: process; sleeps.
 * Return: 0, or -EBUSY if another KVM has it.
 */
int core_device_init(void)
{
	return misc_register(&core_device_misc);
}

/**
 * core_device_exit - undo core_device_init()
 *
 * Context: process; sleeps.
 */
void core_device_exit(void)
{
	misc_deregister(&core_device_misc);
}
