// SPDX-License-Identifier: GPL-2.0-only
// Resetting the rings of a VM, and the ioctls of a vCPU that are its ring's:
// kvm-n/dirty_ring.c.
@@
identifier kvm;
@@
 static int kvm_vm_ioctl_reset_dirty_pages(struct kvm *kvm)
 {
- ...
+ return kvm_relay_reset_dirty_rings(kvm);
 }

@@
expression filp, cmd, arg;
identifier r;
@@
- r = kvm_arch_vcpu_async_ioctl(filp, cmd, arg);
+ r = kvm_relay_is_dirty_ring(cmd) ? kvm_relay_dirty_ring_ioctl(vcpu, cmd, arg) :
+	kvm_arch_vcpu_async_ioctl(filp, cmd, arg);
