// SPDX-License-Identifier: GPL-2.0-only
// A GATag names a VM to the IOMMU, so the ids are the host's.
@@
@@
- static u32 next_vm_id = 0;

@@
@@
- static bool next_vm_id_wrapped = 0;

@@
identifier kvm, k2, vm_id;
@@
 avic_vm_init(struct kvm *kvm)
 {
 ...
- struct kvm_svm *k2;
 ...
- again:
- vm_id = next_vm_id = (next_vm_id + 1) & AVIC_VM_ID_MASK;
- if (vm_id == 0) { ... }
- if (next_vm_id_wrapped) { ... }
+ vm_id = kvm_core_avic_id_get();
+ if (!vm_id) {
+	spin_unlock_irqrestore(&svm_vm_data_hash_lock, flags);
+	goto free_avic;
+ }
 ...
 }

@@
identifier kvm_svm;
@@
  hash_del(&kvm_svm->hnode);
+ kvm_core_avic_id_put(kvm_svm->avic_vm_id);
