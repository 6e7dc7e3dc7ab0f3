// SPDX-License-Identifier: GPL-2.0-only
// In a crash an instance clears its VMCSs; kvm-core turns VMX off when all have.
@@
identifier fn =~ "^vmx_emergency_disable(_virtualization_cpu)?$";
identifier off =~ "^(__cpu_emergency|kvm_cpu)_vmxoff$";
@@
 fn(void)
 {
 <...
- off();
 ...>
 }
