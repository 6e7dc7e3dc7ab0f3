// SPDX-License-Identifier: GPL-2.0-only
// BP_SPEC_REDUCE is set on a CPU for as long as the host has VMs, whose-ever. The names of
// the count and its lock are mapped to kvm-core's; here the definitions go.
@@
declarer name DEFINE_SPINLOCK;
@@
- static DEFINE_SPINLOCK(srso_lock);

@@
typedef atomic_t;
@@
- static atomic_t srso_nr_vms;

@@
struct svm_cpu_data *sd;
@@
- sd->bp_spec_reduce_set
+ this_cpu_ptr(&kvm_core_svm)->bp_spec_reduce_set
