// SPDX-License-Identifier: GPL-2.0-only
/*
 * What VFIO asks KVM by name, whichever module has it: a reference to the KVM of the VM
 * that a device is given to, for as long as the device is open.
 *
 * Nobody can have that of a VM which changes its KVM. PCI devices do not want it; drivers
 * that do (mediated devices that look at the guest's memory) do not open their device
 * without, and say so. VFIO warns when nobody has the names.
 */
#include <linux/module.h>

#include "core.h"
#include "file.h"

/**
 * kvm_get_kvm_safe - a reference to a VM, for VFIO
 * @kvm: an instance's
 *
 * Context: any.
 * Return: false, as for a VM that is at its end.
 */
bool kvm_get_kvm_safe(struct kvm *kvm)
{
	return false;
}
EXPORT_SYMBOL_GPL(kvm_get_kvm_safe);

/**
 * kvm_put_kvm - for VFIO, which looks for it first; there is nothing to put
 * @kvm: an instance's
 *
 * Context: any.
 */
void kvm_put_kvm(struct kvm *kvm)
{
}
EXPORT_SYMBOL_GPL(kvm_put_kvm);
