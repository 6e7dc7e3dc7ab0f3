// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of an instance: it introduces itself, is opened, closed, and goes.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/slab.h>
#include <linux/tracepoint.h>

#include "core.h"
#include "admin/admin.h"
#include "cpu/cpu.h"
#include "file/file.h"

/* Under core_lock. */
static u64 core_serial;

/**
 * kvm_core_register - introduce an instance
 * @inst: the instance; its first member may be of another ABI
 *
 * The first thing that an instance's init does: until this has returned 0 it
 * may call nothing else of kvm-core.
 *
 * Context: process; sleeps.
 * Return: 0, -EPROTO for another ABI, -EOPNOTSUPP for the wrong vendor, -EEXIST
 * for a number that is loaded, -EINVAL, -ENOMEM.
 */
int kvm_core_register(struct kvm_core_instance *inst)
{
	struct core_instance *ci, *other;
	int r;

	if (inst->abi != KVM_CORE_ABI) {
		pr_err("an instance of stub ABI %u was refused: this kvm-core has ABI %u\n",
		       inst->abi, KVM_CORE_ABI);
		return -EPROTO;
	}
	if (!inst->number || inst->number > KVM_CORE_MAX_NUMBER) {
		pr_err("%s: number %u is not in 1 to %u\n", inst->name,
		       inst->number, KVM_CORE_MAX_NUMBER);
		return -EINVAL;
	}
	if (inst->vendor == KVM_CORE_INTEL ? !core_vmx_supported() :
					     !core_svm_supported()) {
		pr_err("%s: this CPU has no %s\n", inst->name,
		       inst->vendor == KVM_CORE_INTEL ? "VMX" : "SVM");
		return -EOPNOTSUPP;
	}

	ci = kzalloc(sizeof(*ci), GFP_KERNEL);
	if (!ci)
		return -ENOMEM;
	ci->inst = inst;
	ci->l1tf = -1;

	mutex_lock(&core_lock);
	r = -EEXIST;
	list_for_each_entry(other, &core_instances, link) {
		if (other->inst->number == inst->number) {
			pr_err("%s: number %u is already loaded\n", inst->name,
			       inst->number);
			goto err_unlock;
		}
	}
	r = core_sysfs_add(ci);
	if (r) {
		/* The last reference of the kobject frees ci. */
		mutex_unlock(&core_lock);
		return r;
	}
	inst->entry_checks = core_entry_checks;
	inst->priv = ci;
	core_debugfs_add(ci);
	list_add_tail_rcu(&ci->link, &core_instances);
	mutex_unlock(&core_lock);
	return 0;

err_unlock:
	mutex_unlock(&core_lock);
	kfree(ci);
	return r;
}
EXPORT_SYMBOL_GPL(kvm_core_register);

/**
 * kvm_core_unregister - the instance is about to be gone
 * @inst: an instance that kvm_core_register() accepted
 *
 * Nothing of the instance is called after this has returned.
 *
 * Context: process; sleeps for an RCU grace period.
 */
void kvm_core_unregister(struct kvm_core_instance *inst)
{
	struct core_instance *ci = core_of(inst);
	int cpu;

	mutex_lock(&core_lock);
	core_unpin_default(ci);
	list_del_rcu(&ci->link);
	mutex_unlock(&core_lock);

	for_each_possible_cpu(cpu)
		cmpxchg(per_cpu_ptr(&kvm_core_active, cpu), inst, NULL);
	core_callbacks_clear(ci);
	core_vmx_forget(ci);
	core_svm_forget(ci);
	core_debugfs_remove(ci);

	/* Walkers in IRQ and NMI context may still have seen it, and probes run. */
	tracepoint_synchronize_unregister();
	inst->priv = NULL;
	core_sysfs_remove(ci);
}
EXPORT_SYMBOL_GPL(kvm_core_unregister);

/**
 * kvm_core_publish - open the instance to userspace
 * @inst: the instance, its init all but finished
 * @fops: the operations of its /dev/kvm; the owner field is not used
 * @dev: where the device that sends the VM uevents goes
 *
 * Context: process; sleeps.
 * Return: 0 or an error of misc_register().
 */
int kvm_core_publish(struct kvm_core_instance *inst,
		     const struct file_operations *fops, struct device **dev)
{
	struct core_instance *ci = core_of(inst);
	int r;

	ci->fops = fops;
	*dev = core_device_kvm();

	r = core_device_add(ci);
	if (r) {
		pr_err("%s: cannot register /dev/%s: error %d\n", inst->name,
		       inst->name, r);
		return r;
	}

	mutex_lock(&core_lock);
	ci->serial = ++core_serial;
	WRITE_ONCE(ci->state, CORE_LIVE);
	core_debugfs_default();
	core_trace_start(ci);
	mutex_unlock(&core_lock);
	return 0;
}
EXPORT_SYMBOL_GPL(kvm_core_publish);

/**
 * kvm_core_unpublish - close the instance to userspace
 * @inst: the instance; it has no descriptor left, since each pins its module
 *
 * Context: process; sleeps.
 */
void kvm_core_unpublish(struct kvm_core_instance *inst)
{
	struct core_instance *ci = core_of(inst);

	mutex_lock(&core_lock);
	core_trace_stop(ci);
	WRITE_ONCE(ci->state, CORE_LOADING);
	core_unpin_default(ci);
	core_debugfs_default();
	mutex_unlock(&core_lock);
	core_device_remove(ci);
}
EXPORT_SYMBOL_GPL(kvm_core_unpublish);
