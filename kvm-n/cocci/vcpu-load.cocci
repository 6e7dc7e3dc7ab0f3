// SPDX-License-Identifier: GPL-2.0-only
// kvm-core learns here which instance a CPU works for: user-return MSRs that
// the new one does not manage go back to the host's values, and perf's guest
// callbacks ask the right one.
@@
expression vcpu, cpu;
@@
(
+ kvm_core_vcpu_load(&kvm_relay_instance);
  static_call(kvm_x86_vcpu_load)(vcpu, cpu);
|
+ kvm_core_vcpu_load(&kvm_relay_instance);
  kvm_x86_call(vcpu_load)(vcpu, cpu);
)
