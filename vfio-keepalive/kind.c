// SPDX-License-Identifier: GPL-2.0-only
/*
 * Is a file what it is said to be? None of the kinds can hold another file that leads
 * back to a session, so no session keeps itself: what a VM holds are eventfds, and through
 * kvm-vfio groups and devices of VFIO.
 */
#include <linux/cdev.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/string.h>
#include <linux/vfio.h>

#include <kvm-core/descriptor.h>
#include <relay/compat.h>

#include "private.h"

/*
 * VFIO is asked only if it is loaded: without it no file is one of its files. While
 * there is one, its module stays, so @file's operations may be compared after the
 * reference is gone.
 */
static bool is_vfio(struct file *file, bool *group)
{
	bool (*is_group)(struct file *file);
	struct module *owner = file->f_op->owner;
	bool yes;

	is_group = symbol_get(vfio_file_is_group);
	if (!is_group)
		return false;
	*group = is_group(file);
	if (IS_BUILTIN(CONFIG_VFIO))
		yes = !owner;
	else
		yes = owner && within_module((unsigned long)is_group, owner);
	symbol_put(vfio_file_is_group);
	return yes;
}

static bool is_container(struct file *file)
{
	const struct inode *inode = file_inode(file);

	return S_ISCHR(inode->i_mode) && inode->i_rdev == MKDEV(MISC_MAJOR, VFIO_MINOR);
}

static bool is_device(struct file *file)
{
	return file_inode(file)->i_sb->s_magic == ANON_INODE_FS_MAGIC &&
		!strcmp(file->f_path.dentry->d_name.name, "[vfio-device]");
}

/*
 * Whoever claims the session moves the mappings of its containers to addresses of
 * his own. Without an IOMMU, and with an mdev, which reaches memory by
 * address, VFIO cannot.
 */
static int container_check(struct file *file)
{
	long r = vfs_ioctl(file, VFIO_CHECK_EXTENSION, VFIO_UPDATE_VADDR);

	return r > 0 ? 0 : -EOPNOTSUPP;
}

static int vfio_check(struct file *file, u32 kind)
{
	bool group = false;

	if (!is_vfio(file, &group))
		return -EINVAL;
	if (group)
		return kind == VFIO_KEEPALIVE_GROUP ? 0 : -EINVAL;
	if (kind == VFIO_KEEPALIVE_CONTAINER && is_container(file))
		return container_check(file);
	return kind == VFIO_KEEPALIVE_DEVICE && is_device(file) ? 0 : -EINVAL;
}

static int eventfd_check(struct file *file)
{
	struct eventfd_ctx *ctx = eventfd_ctx_fileget(file);

	if (IS_ERR(ctx))
		return PTR_ERR(ctx);
	eventfd_ctx_put(ctx);
	return 0;
}

static int memory_check(struct file *file)
{
	const struct inode *inode = file_inode(file);
	unsigned long magic = inode->i_sb->s_magic;

	return S_ISREG(inode->i_mode) && (magic == TMPFS_MAGIC || magic == HUGETLBFS_MAGIC) ?
		0 : -EINVAL;
}

/* kvm-core is asked only if it is loaded: without it no file is one of its files. */
static int kvm_check(struct file *file, enum kvm_core_descriptor kind)
{
	enum kvm_core_descriptor (*what)(const struct file *file);
	int r;

	what = symbol_get(kvm_core_descriptor);
	if (!what)
		return -EINVAL;
	r = what(file) == kind ? 0 : -EINVAL;
	symbol_put(kvm_core_descriptor);
	return r;
}

/**
 * kind_vm - by what kvm-core knows a VM
 * @file: of a kind of kvm-core's: that keeps the module
 *
 * Return: the same for all descriptors of a VM, as long as @file is open.
 */
const void *kind_vm(struct file *file)
{
	const void *(*vm_of)(const struct file *file) = symbol_get(kvm_core_descriptor_vm);
	const void *vm = NULL;

	if (vm_of) {
		vm = vm_of(file);
		symbol_put(kvm_core_descriptor_vm);
	}
	return vm;
}

/* How far behind a group's device and character device its container is looked for */
#define GROUP_WORDS	8

/*
 * VFIO has nothing to ask which container a group is in. The group's own structure, which
 * begins with its device and its character device, has that soon after them. It is
 * found by its value: @container is what VFIO has for a container whose file is
 * open here, so nothing else is at that address, and nothing is followed. If a kernel
 * has it elsewhere, no group is in any container, and none can be kept.
 */
static bool group_is_in(const void *group, const void *container)
{
	const void * const *at = group + sizeof(struct device) + sizeof(struct cdev);
	size_t i;

	for (i = 0; i < GROUP_WORDS; i++)
		if (READ_ONCE(at[i]) == container)
			return true;
	return false;
}

/**
 * kind_container - by what VFIO knows a container
 * @file: of kind VFIO_KEEPALIVE_CONTAINER, or a group or device
 *
 * Return: for kind_is_in(), as long as the file is open.
 */
const void *kind_container(struct file *file)
{
	return file->private_data;
}

/**
 * kind_is_in - is a group or device in a container?
 * @file: of that kind
 * @kind: VFIO_KEEPALIVE_GROUP or VFIO_KEEPALIVE_DEVICE
 * @container: of kind_container(), the file of which the caller has
 *
 * A group of which a device is open remains in its container.
 *
 * Return: true if it is.
 */
bool kind_is_in(struct file *file, u32 kind, const void *container)
{
	return group_is_in(kind == VFIO_KEEPALIVE_DEVICE ? relay_vfio_device(file)->group :
							   file->private_data, container);
}

/**
 * kind_check - may this be kept as that?
 * @file: any file
 * @kind: enum vfio_keepalive_kind, or anything
 *
 * Context: process, without keepalive_lock: VFIO takes locks of its own.
 * Return: 0; -EINVAL; -EOPNOTSUPP for a container whose mappings cannot be moved.
 */
int kind_check(struct file *file, u32 kind)
{
	switch (kind) {
	case VFIO_KEEPALIVE_CONTAINER:
	case VFIO_KEEPALIVE_GROUP:
	case VFIO_KEEPALIVE_DEVICE:
		return vfio_check(file, kind);
	case VFIO_KEEPALIVE_EVENTFD:
		return eventfd_check(file);
	case VFIO_KEEPALIVE_MEMORY:
		return memory_check(file);
	case VFIO_KEEPALIVE_VM:
		return kvm_check(file, KVM_CORE_DESCRIPTOR_VM);
	case VFIO_KEEPALIVE_VCPU:
		return kvm_check(file, KVM_CORE_DESCRIPTOR_VCPU);
	case VFIO_KEEPALIVE_KVM_DEVICE:
		return kvm_check(file, KVM_CORE_DESCRIPTOR_DEVICE);
	}
	return -EINVAL;
}
