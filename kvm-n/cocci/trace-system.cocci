// SPDX-License-Identifier: GPL-2.0-only
// Each instance has tracepoint systems of its own: kvm_N, kvmmmu_N
// (row trace-mmu, which Coccinelle does not parse to its end).
@@
@@
- #define TRACE_SYSTEM kvm
+ #define TRACE_SYSTEM KVM_RELAY_NAME(kvm)
