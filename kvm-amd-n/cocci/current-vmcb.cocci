// SPDX-License-Identifier: GPL-2.0-only
// The VMCB that ran last on a CPU decides whether a barrier is due before the
// next: it may be another instance's.
@@
struct svm_cpu_data *sd;
@@
- sd->current_vmcb
+ this_cpu_ptr(&kvm_core_svm)->current_vmcb

@@
@@
- &svm_data.current_vmcb
+ &kvm_core_svm.current_vmcb

@@
identifier sd, cpu;
@@
 svm_vcpu_load(struct kvm_vcpu *vcpu, int cpu)
 {
 ...
- struct svm_cpu_data *sd = per_cpu_ptr(&svm_data, cpu);
 ...
 }
