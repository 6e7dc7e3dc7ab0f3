// SPDX-License-Identifier: GPL-2.0-only
// The page of a posted-interrupt descriptor lives from the creation of a vCPU to
// its end.
@@
@@
 vmx_vcpu_create(...)
 {
 <...
+ vmx->pi_desc = kvm_core_pi_alloc();
+ if (!vmx->pi_desc)
+	return -ENOMEM;
+
 vmx->vpid = allocate_vpid();
 ...>
 }

@@
@@
 vmx_vcpu_create(...)
 {
 <...
 free_vpid(vmx->vpid);
+ kvm_core_pi_put(vmx->pi_desc);
 ...>
 }

@@
@@
 vmx_vcpu_free(...)
 {
 <...
 free_vpid(vmx->vpid);
+ kvm_core_pi_put(vmx->pi_desc);
 ...>
 }
