// SPDX-License-Identifier: GPL-2.0-only
// EFER.SVME, VM_HSAVE_PA, the save area, the TSC ratio at rest and the PMU's
// virtualization switch are the CPU's: kvm-core sets them, counted per CPU.
@@
identifier efer;
identifier fn = { svm_hardware_enable, svm_enable_virtualization_cpu };
@@
 fn(void)
 {
 ...
- uint64_t efer;
 ...
- rdmsrl(MSR_EFER, efer);
- if (efer & EFER_SVME)
-	return -EBUSY;
 ...
- wrmsrl(MSR_EFER, efer | EFER_SVME);
- wrmsrl(MSR_VM_HSAVE_PA, sd->save_area_pa);
- if (static_cpu_has(X86_FEATURE_TSCRATEMSR)) { ... }
 ...
- amd_pmu_enable_virt();
 ...
- return 0;
+ return kvm_core_cpu_get(&kvm_relay_instance);
 }

@@
identifier fn = { svm_hardware_disable, svm_disable_virtualization_cpu };
@@
 fn(void)
 {
- ...
+ kvm_core_cpu_put(&kvm_relay_instance);
 }

@@
struct svm_cpu_data *sd;
identifier page;
@@
(
- sd->save_area = alloc_page(GFP_KERNEL | __GFP_ZERO);
+ sd->save_area = kvm_core_save_area(cpu);
|
- page = snp_safe_alloc_page_node(cpu_to_node(cpu), GFP_KERNEL);
+ page = kvm_core_save_area(cpu);
)

@@
struct svm_cpu_data *sd;
@@
(
- __free_page(sd->save_area);
|
- __free_page(__sme_pa_to_page(sd->save_area_pa));
|
- __free_page(save_area_page);
)
