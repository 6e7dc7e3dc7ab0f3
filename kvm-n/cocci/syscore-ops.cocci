// SPDX-License-Identifier: GPL-2.0-only
// Suspend and resume of every instance are called by kvm-core, which is the one that the
// kernel knows (rows syscore).
@@
@@
- static struct syscore_ops kvm_syscore_ops = { ... };
