// SPDX-License-Identifier: GPL-2.0-only
// Pages that userspace maps through a vCPU's descriptor stay the same when the
// vCPU goes to another instance.
@@
@@
 kvm_vm_ioctl_create_vcpu(...)
 {
 <...
- alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO)
+ kvm_core_vcpu_page(0)
 ...>
 }

@@
@@
 kvm_arch_vcpu_create(...)
 {
 <...
- alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO)
+ kvm_core_vcpu_page(KVM_PIO_PAGE_OFFSET)
 ...>
 }

@@
@@
 kvm_coalesced_mmio_init(...)
 {
 <...
- alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO)
+ kvm_core_vcpu_page(KVM_COALESCED_MMIO_PAGE_OFFSET)
 ...>
 }
