// SPDX-License-Identifier: GPL-2.0-only
/*
 * kvm-core: owns what a host has once, so that several KVMs can be loaded.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/module.h>

#include "core.h"
#include "admin/admin.h"
#include "cpu/cpu.h"
#include "file/file.h"
#include "handoff/handoff.h"

static bool entry_checks;
module_param(entry_checks, bool, 0444);
MODULE_PARM_DESC(entry_checks,
		 "check before every VM entry that save area, current VMCS, ASID and VPID are this CPU's and this VM's alone");

const struct core_above core_above = {
	.park = core_move_park,
	.dirty_get = core_dirty_get,
	.dirty_clear = core_dirty_clear,
	.dirty_region = core_dirty_region,
	.dirty_free = core_dirty_free,
	.pi_take = core_pi_take,
	.pi_end = core_pi_end,
	.move_self = core_control_move_self,
	.adopt = core_control_adopt,
	.vm_add = core_sysfs_vm_add,
};

static int __init kvm_core_init(void)
{
	int r;

	if (!core_vmx_supported() && !core_svm_supported()) {
		pr_err("this CPU has neither VMX nor SVM, or firmware turned it off\n");
		return -EOPNOTSUPP;
	}

	core_uret_init();

	r = core_svm_init();
	if (r)
		return r;

	r = core_check_init(entry_checks);
	if (r)
		goto err_svm;

	r = core_cpu_init();
	if (r) {
		pr_err("the CPU hotplug state of KVM is taken (error %d): is the distribution's kvm loaded?\n",
		       r);
		goto err_check;
	}

	r = core_eventfd_init();
	if (r)
		goto err_cpu;

	core_debugfs_init();

	r = core_history_init();
	if (r)
		goto err_eventfd;

	r = core_sysfs_init();
	if (r)
		goto err_history;

	r = core_device_init();
	if (r) {
		pr_err("cannot register /dev/kvm (error %d): is the distribution's kvm loaded?\n",
		       r);
		goto err_sysfs;
	}

	r = core_control_init();
	if (r) {
		pr_err("cannot register /dev/kvm-core: error %d\n", r);
		goto err_device;
	}

	core_trace_open();
	return 0;

err_device:
	core_device_exit();
err_sysfs:
	core_sysfs_exit();
err_history:
	core_history_exit();
err_eventfd:
	core_debugfs_exit();
	core_eventfd_exit();
err_cpu:
	core_cpu_exit();
err_check:
	core_check_exit();
err_svm:
	core_svm_exit();
	return r;
}

static void __exit kvm_core_exit(void)
{
	core_trace_close();
	core_control_exit();
	core_device_exit();
	core_vm_exit();
	core_sysfs_exit();
	core_history_exit();
	core_debugfs_exit();
	core_eventfd_exit();
	core_cpu_exit();
	core_check_exit();
	core_vmx_exit();
	core_svm_exit();
}

module_init(kvm_core_init);
module_exit(kvm_core_exit);

MODULE_DESCRIPTION("Owner of the CPU-wide resources of several KVM instances");
MODULE_LICENSE("GPL");
MODULE_INFO(abi, __stringify(KVM_CORE_ABI));
