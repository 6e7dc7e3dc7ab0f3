// SPDX-License-Identifier: GPL-2.0-only
// The VMCS that is current on a CPU is the CPU's, whoever loaded it: a stale
// "already current" would send VMWRITE into another instance's VMCS. The name
// is mapped to kvm-core's per-CPU variable; here only the definition goes.
@@
declarer name DEFINE_PER_CPU;
@@
- DEFINE_PER_CPU(struct vmcs *, current_vmcs);
