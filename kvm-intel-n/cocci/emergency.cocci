// SPDX-License-Identifier: GPL-2.0-only
// In a crash an instance clears its VMCSs; kvm-core turns VMX off when all have.
@@
identifier fn = { vmx_emergency_disable, vmx_emergency_disable_virtualization_cpu };
identifier off = { __cpu_emergency_vmxoff, kvm_cpu_vmxoff };
@@
 fn(void)
 {
 <...
- off();
 ...>
 }
