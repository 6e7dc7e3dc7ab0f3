// SPDX-License-Identifier: GPL-2.0-only
// CREATED and COUNT of the uevents count the VMs of the host, not of one
// instance.
@@
identifier type, created, active;
@@
 kvm_uevent_notify_change(unsigned int type, ...)
 {
 ...
- mutex_lock(&kvm_lock);
- if (type == KVM_EVENT_CREATE_VM) {
- ...
- } else if (type == KVM_EVENT_DESTROY_VM) {
- ...
- }
- created = kvm_createvm_count;
- active = kvm_active_vms;
- mutex_unlock(&kvm_lock);
+ kvm_core_count_vm(type == KVM_EVENT_CREATE_VM,
+ 		   type == KVM_EVENT_DESTROY_VM, &created, &active);
 ...
 }

@@
@@
- static unsigned long long kvm_createvm_count;

@@
@@
- static unsigned long long kvm_active_vms;
