// SPDX-License-Identifier: GPL-2.0-only
// A descriptor's file_operations are kvm-core's; what KVM compares to know its
// own files are the operations behind them.
@@
struct file *f;
identifier ops;
@@
(
- f->f_op == &ops
+ kvm_core_file_fops(f) == &ops
|
- f->f_op != &ops
+ kvm_core_file_fops(f) != &ops
)
