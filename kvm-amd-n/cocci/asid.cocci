// SPDX-License-Identifier: GPL-2.0-only
// One ASID sequence per CPU, whichever instance takes the next. new_asid() is
// inlined into svm_vcpu_run(): a local variable whose address is taken would put
// a stack canary into every VM exit.
@@
struct svm_cpu_data *sd;
identifier fn = { svm_hardware_enable, svm_enable_virtualization_cpu };
@@
 fn(void)
 {
 ...
(
- sd->asid_generation++;
|
- sd->asid_generation = 1;
)
- sd->max_asid = cpuid_ebx(SVM_CPUID_FUNC) - 1;
- sd->next_asid = sd->max_asid + 1;
- sd->min_asid = max_sev_asid + 1;
 ...
 }

@@
typedef u64, u32;
identifier svm, sd;
@@
 new_asid(struct vcpu_svm *svm, struct svm_cpu_data *sd)
 {
- ...
+ u64 next = kvm_core_asid_next(&kvm_relay_instance, svm,
+				&svm->current_vmcb->asid_generation);
+
+ svm->asid = (u32)next;
+ if (next & KVM_CORE_ASID_FLUSH) {
+	svm->vmcb->control.tlb_ctl = TLB_CONTROL_FLUSH_ALL_ASID;
+	vmcb_mark_dirty(svm->vmcb, VMCB_ASID);
+ }
 }

@@
struct svm_cpu_data *sd;
@@
- sd->asid_generation
+ this_cpu_read(kvm_core_svm.asid_generation)
