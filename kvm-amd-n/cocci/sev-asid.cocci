// SPDX-License-Identifier: GPL-2.0-only
// SEV ASIDs and their locks are the host's. The locks' names are mapped to
// kvm-core's; here the definitions go, and the bitmaps come from kvm-core.
@@
declarer name DECLARE_RWSEM;
@@
- static DECLARE_RWSEM(sev_deactivate_lock);

@@
declarer name DEFINE_MUTEX;
@@
- static DEFINE_MUTEX(sev_bitmap_lock);

@@
@@
- sev_asid_bitmap = bitmap_zalloc(nr_asids, GFP_KERNEL);
+ sev_asid_bitmap = kvm_core_sev_bitmap(KVM_CORE_SEV_USED, nr_asids);

@@
@@
- sev_reclaim_asid_bitmap = bitmap_zalloc(nr_asids, GFP_KERNEL);
+ sev_reclaim_asid_bitmap = kvm_core_sev_bitmap(KVM_CORE_SEV_RECLAIM, nr_asids);

@@
@@
(
- bitmap_free(sev_asid_bitmap);
|
- bitmap_free(sev_reclaim_asid_bitmap);
)
