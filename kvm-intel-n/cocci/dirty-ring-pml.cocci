// SPDX-License-Identifier: GPL-2.0-only
// The CPU notes no more pages in its buffer than the vCPU's dirty ring wants before
// the next look at it, so that a limit of the rate holds to the page: the end of the
// buffer is left out. kvm-n/dirty_ring.c.
@@
@@
 init_vmcs(...)
 {
 <...
+ vmx->pml_entries = PML_ENTITY_NUM;
 vmcs_write16(GUEST_PML_INDEX, PML_ENTITY_NUM - 1);
 ...>
 }

@@
expression idx;
@@
 vmx_flush_pml_buffer(...)
 {
 <...
- idx == (PML_ENTITY_NUM - 1)
+ idx == vmx->pml_entries - 1 && vmx->pml_entries == kvm_relay_pml_entries(vcpu)
 ...>
 }

@@
expression idx;
@@
 vmx_flush_pml_buffer(...)
 {
 <...
- idx < PML_ENTITY_NUM
+ idx < vmx->pml_entries
 ...>
 }

@@
@@
 vmx_flush_pml_buffer(...)
 {
 <...
- vmcs_write16(GUEST_PML_INDEX, PML_ENTITY_NUM - 1);
+ vmx->pml_entries = kvm_relay_pml_entries(vcpu);
+ vmcs_write16(GUEST_PML_INDEX, vmx->pml_entries - 1);
 ...>
 }
