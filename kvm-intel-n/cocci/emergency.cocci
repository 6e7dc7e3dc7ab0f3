// SPDX-License-Identifier: GPL-2.0-only
// In a crash an instance clears its VMCSs; kvm-core turns VMX off when all have.
@@
@@
 vmx_emergency_disable(void)
 {
 ...
- __cpu_emergency_vmxoff();
 }
