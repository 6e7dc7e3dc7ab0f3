// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/kvm_core: a directory for each instance, and, for tools
 * that look there, "kvm" as a link to the default instance's statistics.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>

#include "core.h"
#include "admin.h"
#include "handoff/handoff.h"

static struct dentry *core_debugfs_dir;
/* Under core_lock. */
static struct dentry *core_debugfs_link;

static ssize_t fail_write(struct file *file, const char __user *buf,
			  size_t count, loff_t *pos)
{
	struct core_instance *ci = file_inode(file)->i_private;

	kvm_core_fail(ci->inst, "asked for in debugfs");
	return count;
}

static const struct file_operations fail_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = fail_write,
	.llseek = noop_llseek,
};

/**
 * core_debugfs_add - make an instance's directory
 * @ci: the instance
 *
 * Context: process; sleeps.
 */
void core_debugfs_add(struct core_instance *ci)
{
	ci->debugfs = debugfs_create_dir(ci->inst->name, core_debugfs_dir);
	debugfs_create_file("fail", 0200, ci->debugfs, ci, &fail_fops);
}

/**
 * core_debugfs_remove - undo core_debugfs_add()
 * @ci: the instance
 *
 * Context: process; sleeps until no file of it is in use.
 */
void core_debugfs_remove(struct core_instance *ci)
{
	debugfs_remove(ci->debugfs);
}

/**
 * core_debugfs_default - let "kvm" follow the default instance
 *
 * Context: process; sleeps; core_lock held.
 */
void core_debugfs_default(void)
{
	struct core_instance *ci = core_default_locked();
	char target[16];

	debugfs_remove(core_debugfs_link);
	core_debugfs_link = NULL;
	if (!ci)
		return;
	snprintf(target, sizeof(target), "kvm_%u", ci->inst->number);
	core_debugfs_link = debugfs_create_symlink("kvm", NULL, target);
}

/**
 * core_debugfs_init - make /sys/kernel/debug/kvm_core
 *
 * Context: process; sleeps.
 */
void core_debugfs_init(void)
{
	core_debugfs_dir = debugfs_create_dir("kvm_core", NULL);
	core_inject_init(core_debugfs_dir);
}

/**
 * core_debugfs_exit - undo core_debugfs_init()
 *
 * Context: process; sleeps.
 */
void core_debugfs_exit(void)
{
	debugfs_remove(core_debugfs_link);
	debugfs_remove(core_debugfs_dir);
}
