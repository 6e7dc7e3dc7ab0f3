// SPDX-License-Identifier: GPL-2.0-only
/* What /proc/PID/fdinfo tells of a descriptor: who keeps an instance from being unloaded. */
#include <linux/fs.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>
#include <linux/spinlock.h>
#include <linux/string.h>

#include "core.h"
#include "file.h"

/**
 * core_file_fdinfo - the instance behind a descriptor, and its VM
 * @m: where to
 * @file: one for which core_is_file() is true
 *
 * Waits for nothing that a VMM holds.
 *
 * Context: process; sleeps.
 */
void core_file_fdinfo(struct seq_file *m, struct file *file)
{
	struct core_file *cf = core_file_of(file);
	char name[KVM_CORE_NAME_LEN];

	/* The one for /dev/kvm*, the other for what goes over with a VM. */
	mutex_lock(&core_files_lock);
	spin_lock(&cf->backing);
	strscpy(name, cf->ci->inst->name, sizeof(name));
	spin_unlock(&cf->backing);
	mutex_unlock(&core_files_lock);
	seq_printf(m, "kvm-instance:\t%s\n", name);
	if (cf->vm)
		seq_printf(m, "kvm-vm:\t%d\n", cf->vm->id);
}
