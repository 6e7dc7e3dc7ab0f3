/* SPDX-License-Identifier: GPL-2.0-only */
/* VMs, their vCPUs and devices by their descriptors, for modules that are no instances. */
#ifndef __KVM_CORE_DESCRIPTOR_H
#define __KVM_CORE_DESCRIPTOR_H

struct file;

enum kvm_core_descriptor {
	KVM_CORE_DESCRIPTOR_OTHER,
	KVM_CORE_DESCRIPTOR_VM,
	KVM_CORE_DESCRIPTOR_VCPU,
	KVM_CORE_DESCRIPTOR_DEVICE,	/* KVM_CREATE_DEVICE: kvm-vfio */
};

enum kvm_core_descriptor kvm_core_descriptor(const struct file *file);
const void *kvm_core_descriptor_vm(const struct file *file);

#endif
