// SPDX-License-Identifier: GPL-2.0-only
// Making 4 KiB pages clean or read-only clears one bit of a leaf and changes
// nothing that tdp_mmu_set_spte_no_dirty_log() looks for, but for the page's
// own dirty bit. Atomic, because the CPU sets A and D, and a fault W, without
// mmu_lock.
@@
typedef atomic64_t;
identifier kvm, iter, new_spte;
@@
 static void clear_dirty_pt_masked(...)
 {
 <...
- tdp_mmu_set_spte_no_dirty_log(kvm, &iter, new_spte);
+ atomic64_and(new_spte | ~iter.old_spte,
+	       (atomic64_t *)rcu_dereference(iter.sptep));
+ if (is_dirty_spte(iter.old_spte) && !is_dirty_spte(new_spte))
+	kvm_set_pfn_dirty(spte_to_pfn(iter.old_spte));
+ trace_kvm_tdp_mmu_spte_changed(iter.as_id, iter.gfn, iter.level,
+				 iter.old_spte, new_spte);
 ...>
 }
