// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instance's beginning and end. Compiled once for each instance, with
 * KVM_RELAY_N, KVM_RELAY_VENDOR (intel or amd) and KVM_RELAY_SOURCE.
 */
#define pr_fmt(fmt) "kvm-relay: " fmt

#include <linux/module.h>
#include <linux/stringify.h>

#include "relay.h"

#define KVM_RELAY_VENDOR_intel	KVM_CORE_INTEL
#define KVM_RELAY_VENDOR_amd	KVM_CORE_AMD
#define __VENDOR_ID(vendor)	KVM_RELAY_VENDOR_##vendor
#define _VENDOR_ID(vendor)	__VENDOR_ID(vendor)

#ifndef KVM_RELAY_ABI
#define KVM_RELAY_ABI		KVM_CORE_ABI
#endif

struct kvm_core_instance kvm_relay_instance = {
	.abi = KVM_RELAY_ABI,
	.number = KVM_RELAY_N,
	.vendor = _VENDOR_ID(KVM_RELAY_VENDOR),
	.name = "kvm-" __stringify(KVM_RELAY_VENDOR) "-" __stringify(KVM_RELAY_N),
	.source = KVM_RELAY_SOURCE,
	.owner = THIS_MODULE,
	.ops = &kvm_relay_ops,
	.trace = kvm_relay_trace,
};

static int __init kvm_relay_init(void)
{
	int r;

	r = kvm_core_register(&kvm_relay_instance);
	if (r)
		return r;

	r = kvm_relay_late_init();
	if (r)
		goto err_register;

	r = kvm_relay_x86_init();
	if (r)
		goto err_late;

	r = kvm_relay_vendor_init();
	if (r)
		goto err_late;

	return 0;

err_late:
	kvm_relay_late_exit();
err_register:
	kvm_core_unregister(&kvm_relay_instance);
	return r;
}

static void __exit kvm_relay_exit(void)
{
	kvm_relay_vendor_exit();
	kvm_relay_x86_exit();
	kvm_relay_late_exit();
	kvm_core_unregister(&kvm_relay_instance);
}

module_init(kvm_relay_init);
module_exit(kvm_relay_exit);

MODULE_INFO(vendor, __stringify(KVM_RELAY_VENDOR));
MODULE_INFO(instance, __stringify(KVM_RELAY_N));
MODULE_INFO(kvm_source, KVM_RELAY_SOURCE);
MODULE_INFO(kvm_core_abi, __stringify(KVM_RELAY_ABI));
