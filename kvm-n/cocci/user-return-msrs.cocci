// SPDX-License-Identifier: GPL-2.0-only
// Host and current values of the user-return MSRs are per CPU, hence
// kvm-core's. The instance keeps its slot numbers; its list maps a slot to
// kvm-core's slot.
@@
@@
- struct kvm_user_return_msrs { ... };

@@
@@
- static void kvm_on_user_return(struct user_return_notifier *urn)
- { ... }

@@
typedef u32;
@@
- static int kvm_probe_user_return_msr(u32 msr)
- { ... }

@@
@@
- static void kvm_user_return_msr_cpu_online(void)
- { ... }

@@
@@
- static void drop_user_return_notifiers(void)
- { ... }

@@
@@
- kvm_user_return_msr_cpu_online();

@@
@@
- drop_user_return_notifiers();

@@
typedef u32;
identifier msr;
@@
 kvm_add_user_return_msr(u32 msr)
 {
+ int slot;
+
 ...
- if (kvm_probe_user_return_msr(msr))
+ slot = kvm_core_uret_add(&kvm_relay_instance, msr);
+ if (slot < 0)
	return -1;
- kvm_uret_msrs_list[kvm_nr_uret_msrs] = msr;
+ kvm_uret_msrs_list[kvm_nr_uret_msrs] = slot;
 ...
 }

@@
typedef u32;
identifier msr, i;
@@
 kvm_find_user_return_msr(u32 msr)
 {
 <...
- kvm_uret_msrs_list[i] == msr
+ kvm_core_uret_msr(kvm_uret_msrs_list[i]) == msr
 ...>
 }

@@
typedef u64;
identifier slot, value, mask;
@@
 kvm_set_user_return_msr(unsigned slot, u64 value, u64 mask)
 {
- ...
+ return kvm_core_uret_set(kvm_uret_msrs_list[slot], value, mask);
 }

@@
@@
- user_return_msrs = alloc_percpu(struct kvm_user_return_msrs);
- if (!user_return_msrs) { ... }

@@
@@
- free_percpu(user_return_msrs);

@@
@@
- out_free_x86_emulator_cache:
