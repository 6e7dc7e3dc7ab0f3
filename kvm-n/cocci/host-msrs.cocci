// SPDX-License-Identifier: GPL-2.0-only
// While another instance runs guests, EFER and XSS of this CPU may hold guest
// values, or SVME. kvm-core sampled them before the first instance.
@@
@@
(
- rdmsrl_safe(MSR_EFER, &host_efer);
+ host_efer = kvm_core_host_efer();
|
- rdmsrl_safe(MSR_EFER, &kvm_host.efer);
+ kvm_host.efer = kvm_core_host_efer();
)

@@
@@
(
- rdmsrl(MSR_IA32_XSS, host_xss);
+ host_xss = kvm_core_host_xss();
|
- rdmsrl(MSR_IA32_XSS, kvm_host.xss);
+ kvm_host.xss = kvm_core_host_xss();
)
