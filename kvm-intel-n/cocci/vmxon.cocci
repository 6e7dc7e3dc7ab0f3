// SPDX-License-Identifier: GPL-2.0-only
// VMXON, VMXOFF and the VMXON region are kvm-core's, counted per CPU.
@@
declarer name DEFINE_PER_CPU;
@@
- static DEFINE_PER_CPU(struct vmcs *, vmxarea);

@@
typedef u64;
identifier cpu, phys_addr;
identifier fn = { vmx_hardware_enable, vmx_enable_virtualization_cpu };
@@
 fn(void)
 {
 ...
- u64 phys_addr = __pa(per_cpu(vmxarea, cpu));
 ...
- if (cr4_read_shadow() & X86_CR4_VMXE)
-	return -EBUSY;
 ...
- intel_pt_handle_vmx(1);
- r = kvm_cpu_vmxon(phys_addr);
- if (r) {
- ...
- }
+ r = kvm_core_cpu_get(&kvm_relay_instance);
+ if (r)
+	return r;
 ...
 }

@@
identifier fn = { vmx_hardware_disable, vmx_disable_virtualization_cpu };
identifier off = { cpu_vmxoff, kvm_cpu_vmxoff };
@@
 fn(void)
 {
 ...
- if (off())
-	kvm_spurious_fault();
- hv_reset_evmcs();
- intel_pt_handle_vmx(0);
+ hv_reset_evmcs();
+ kvm_core_cpu_put(&kvm_relay_instance);
 }

@@
@@
 free_kvm_area(void)
 {
- ...
 }

@@
@@
- alloc_kvm_area()
+ kvm_core_vmx_setup()
