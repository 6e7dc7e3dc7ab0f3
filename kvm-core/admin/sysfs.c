// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/kvm_core: instances, VMs, the default.
 * Documented in Documentation/ABI/testing/sysfs-kernel-kvm-core.
 *
 * No attribute waits for what a VMM can hold, gates above all: an ioctl that faults
 * on a page of userfaultfd holds one for as long as its VMM likes.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/cred.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/pid.h>
#include <linux/slab.h>
#include <linux/string_helpers.h>
#include <linux/sysfs.h>

#include "core.h"
#include "admin.h"
#include "file/file.h"

static struct kobject *core_kobj;
static struct kset *core_instances_kset;
static struct kset *core_vms_kset;

static ssize_t abi_show(struct kobject *kobj, struct kobj_attribute *attr,
			char *buf)
{
	return sysfs_emit(buf, "%d\n", KVM_CORE_ABI);
}

static ssize_t default_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *buf)
{
	struct core_instance *ci;
	ssize_t len;

	mutex_lock(&core_lock);
	ci = core_default_locked();
	len = sysfs_emit(buf, "%s\n", ci ? ci->inst->name : "");
	mutex_unlock(&core_lock);
	return len;
}

static ssize_t default_store(struct kobject *kobj, struct kobj_attribute *attr,
			     const char *buf, size_t count)
{
	char *name, *trimmed;
	int r;

	name = kstrndup(buf, count, GFP_KERNEL);
	if (!name)
		return -ENOMEM;
	trimmed = strim(name);
	r = core_set_default(trimmed);
	kfree(name);
	return r ?: count;
}

static struct kobj_attribute abi_attr = __ATTR_RO(abi);
static struct kobj_attribute default_attr = __ATTR_RW(default);

static struct attribute *core_attrs[] = {
	&abi_attr.attr,
	&default_attr.attr,
	NULL
};

static const struct attribute_group core_group = {
	.attrs = core_attrs,
};

static struct core_instance *instance_of(struct kobject *kobj)
{
	return container_of(kobj, struct core_instance, kobj);
}

static ssize_t vendor_show(struct kobject *kobj, struct kobj_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%s\n",
			  instance_of(kobj)->inst->vendor == KVM_CORE_INTEL ?
			  "intel" : "amd");
}

static ssize_t number_show(struct kobject *kobj, struct kobj_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%u\n", instance_of(kobj)->inst->number);
}

static ssize_t version_show(struct kobject *kobj, struct kobj_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf, "%s\n", instance_of(kobj)->inst->source);
}

static ssize_t state_show(struct kobject *kobj, struct kobj_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%s\n", core_state_name(instance_of(kobj)));
}

static ssize_t state_store(struct kobject *kobj, struct kobj_attribute *attr,
			   const char *buf, size_t count)
{
	bool drain = sysfs_streq(buf, "draining");
	int r;

	if (!drain && !sysfs_streq(buf, "live"))
		return -EINVAL;
	mutex_lock(&core_lock);
	r = core_set_draining(instance_of(kobj), drain);
	mutex_unlock(&core_lock);
	return r ?: count;
}

static ssize_t is_default_show(struct kobject *kobj,
			       struct kobj_attribute *attr, char *buf)
{
	bool is;

	mutex_lock(&core_lock);
	is = core_default_locked() == instance_of(kobj);
	mutex_unlock(&core_lock);
	return sysfs_emit(buf, "%d\n", is);
}

static ssize_t vms_show(struct kobject *kobj, struct kobj_attribute *attr,
			char *buf)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&instance_of(kobj)->vms));
}

static struct kobj_attribute vendor_attr = __ATTR_RO(vendor);
static struct kobj_attribute number_attr = __ATTR_RO(number);
static struct kobj_attribute version_attr = __ATTR_RO(version);
static struct kobj_attribute state_attr = __ATTR_RW(state);
static struct kobj_attribute is_default_attr = __ATTR(default, 0444,
						      is_default_show, NULL);
static struct kobj_attribute vms_attr = __ATTR_RO(vms);

static struct attribute *instance_attrs[] = {
	&vendor_attr.attr,
	&number_attr.attr,
	&version_attr.attr,
	&state_attr.attr,
	&is_default_attr.attr,
	&vms_attr.attr,
	NULL
};
ATTRIBUTE_GROUPS(instance);

static void instance_release(struct kobject *kobj)
{
	kfree(instance_of(kobj));
}

static struct kobj_type instance_ktype = {
	.release = instance_release,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = instance_groups,
};

/**
 * core_sysfs_add - make an instance's directory; @ci belongs to it then
 * @ci: the instance
 *
 * Context: process; sleeps; core_lock held.
 * Return: 0, or an error, and @ci is freed.
 */
int core_sysfs_add(struct core_instance *ci)
{
	int r;

	ci->kobj.kset = core_instances_kset;
	r = kobject_init_and_add(&ci->kobj, &instance_ktype, NULL, "%s",
				 ci->inst->name);
	if (r)
		kobject_put(&ci->kobj);
	return r;
}

/**
 * core_sysfs_remove - remove the directory and free the instance
 * @ci: the instance
 *
 * Context: process; sleeps until no attribute is being read.
 */
void core_sysfs_remove(struct core_instance *ci)
{
	kobject_del(&ci->kobj);
	kobject_put(&ci->kobj);
}

static struct core_vm *vm_of(struct kobject *kobj)
{
	return container_of(kobj, struct core_vm, kobj);
}

static ssize_t instance_show(struct kobject *kobj, struct kobj_attribute *attr,
			     char *buf)
{
	char name[KVM_CORE_NAME_LEN];

	core_vm_instance(vm_of(kobj), name);
	return sysfs_emit(buf, "%s\n", name);
}

static ssize_t pid_show(struct kobject *kobj, struct kobj_attribute *attr,
			char *buf)
{
	struct core_owner owner;
	pid_t pid;

	core_vm_owner(vm_of(kobj), &owner);
	pid = pid_vnr(owner.pid);
	core_owner_exit(&owner);
	return sysfs_emit(buf, "%d\n", pid);
}

static ssize_t comm_show(struct kobject *kobj, struct kobj_attribute *attr,
			 char *buf)
{
	char escaped[2 * TASK_COMM_LEN];
	struct core_owner owner;
	int len;

	core_vm_owner(vm_of(kobj), &owner);
	/* As in /proc/PID/status: the VMM has chosen it, and a reader expects a line. */
	len = string_escape_str(owner.comm, escaped, sizeof(escaped) - 1,
				ESCAPE_SPACE | ESCAPE_SPECIAL, "\n\\");
	core_owner_exit(&owner);
	return sysfs_emit(buf, "%.*s\n", len, escaped);
}

static ssize_t uid_show(struct kobject *kobj, struct kobj_attribute *attr,
			char *buf)
{
	struct core_owner owner;

	core_vm_owner(vm_of(kobj), &owner);
	core_owner_exit(&owner);
	return sysfs_emit(buf, "%u\n",
			  from_kuid_munged(current_user_ns(), owner.uid));
}

static ssize_t vcpus_show(struct kobject *kobj, struct kobj_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%d\n", atomic_read(&vm_of(kobj)->vcpus));
}

static struct kobj_attribute instance_attr = __ATTR_RO(instance);
static struct kobj_attribute pid_attr = __ATTR_RO(pid);
static struct kobj_attribute comm_attr = __ATTR_RO(comm);
static struct kobj_attribute uid_attr = __ATTR_RO(uid);
static ssize_t moves_show(struct kobject *kobj, struct kobj_attribute *attr,
			  char *buf)
{
	return sysfs_emit(buf, "%lu\n", READ_ONCE(vm_of(kobj)->moves));
}

static struct kobj_attribute vcpus_attr = __ATTR_RO(vcpus);
static struct kobj_attribute moves_attr = __ATTR_RO(moves);

static struct attribute *vm_attrs[] = {
	&instance_attr.attr,
	&pid_attr.attr,
	&comm_attr.attr,
	&uid_attr.attr,
	&vcpus_attr.attr,
	&moves_attr.attr,
	NULL
};
ATTRIBUTE_GROUPS(vm);

static void vm_release(struct kobject *kobj)
{
	core_vm_free(vm_of(kobj));
}

static struct kobj_type vm_ktype = {
	.release = vm_release,
	.sysfs_ops = &kobj_sysfs_ops,
	.default_groups = vm_groups,
};

/**
 * core_sysfs_vm_add - make a VM's directory; @vm belongs to it then
 * @vm: the VM
 *
 * Context: process; sleeps.
 * Return: 0, or an error, and @vm is freed.
 */
int core_sysfs_vm_add(struct core_vm *vm)
{
	int r;

	vm->kobj.kset = core_vms_kset;
	r = kobject_init_and_add(&vm->kobj, &vm_ktype, NULL, "%d", vm->id);
	if (r)
		kobject_put(&vm->kobj);
	return r;
}

/**
 * core_sysfs_init - make /sys/kernel/kvm_core
 *
 * Context: process; sleeps.
 * Return: 0 or -ENOMEM or what sysfs said.
 */
int core_sysfs_init(void)
{
	int r = -ENOMEM;

	core_kobj = kobject_create_and_add("kvm_core", kernel_kobj);
	if (!core_kobj)
		return r;
	core_instances_kset = kset_create_and_add("instances", NULL, core_kobj);
	if (!core_instances_kset)
		goto err_kobj;
	core_vms_kset = kset_create_and_add("vms", NULL, core_kobj);
	if (!core_vms_kset)
		goto err_instances;
	r = sysfs_create_group(core_kobj, &core_group);
	if (r)
		goto err_vms;
	return 0;

err_vms:
	kset_unregister(core_vms_kset);
err_instances:
	kset_unregister(core_instances_kset);
err_kobj:
	kobject_put(core_kobj);
	return r;
}

/**
 * core_sysfs_exit - undo core_sysfs_init()
 *
 * Context: process; sleeps.
 */
void core_sysfs_exit(void)
{
	sysfs_remove_group(core_kobj, &core_group);
	kset_unregister(core_vms_kset);
	kset_unregister(core_instances_kset);
	kobject_put(core_kobj);
}
