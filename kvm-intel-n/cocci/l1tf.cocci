// SPDX-License-Identifier: GPL-2.0-only
// The host has one sysfs line for its L1TF mitigation. An instance keeps its
// own state, and kvm-core publishes the weakest of all.
@@
expression E;
@@
- l1tf_vmx_mitigation = E;
+ l1tf_vmx_mitigation = kvm_core_l1tf(&kvm_relay_instance, E);
