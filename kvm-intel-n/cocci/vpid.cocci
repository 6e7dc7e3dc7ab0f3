// SPDX-License-Identifier: GPL-2.0-only
// One VPID space for the host.
@@
declarer name DECLARE_BITMAP;
@@
- static DECLARE_BITMAP(vmx_vpid_bitmap, VMX_NR_VPIDS);

@@
declarer name DEFINE_SPINLOCK;
@@
- static DEFINE_SPINLOCK(vmx_vpid_lock);

@@
@@
- set_bit(0, vmx_vpid_bitmap);

@@
identifier vpid;
@@
 allocate_vpid(void)
 {
- int vpid;
 ...
- spin_lock(&vmx_vpid_lock);
- vpid = find_first_zero_bit(vmx_vpid_bitmap, VMX_NR_VPIDS);
- if (vpid < VMX_NR_VPIDS)
-	__set_bit(vpid, vmx_vpid_bitmap);
- else
-	vpid = 0;
- spin_unlock(&vmx_vpid_lock);
- return vpid;
+ return kvm_core_vpid_get(&kvm_relay_instance);
 }

@@
identifier vpid;
@@
 free_vpid(int vpid)
 {
 ...
- spin_lock(&vmx_vpid_lock);
- __clear_bit(vpid, vmx_vpid_bitmap);
- spin_unlock(&vmx_vpid_lock);
+ kvm_core_vpid_put(&kvm_relay_instance, vpid);
 }
