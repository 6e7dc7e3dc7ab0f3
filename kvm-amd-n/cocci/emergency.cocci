// SPDX-License-Identifier: GPL-2.0-only
// In a crash kvm-core turns SVM off when all instances have said that they reboot.
@@
@@
 svm_emergency_disable_virtualization_cpu(void)
 {
 <...
- kvm_cpu_svm_disable();
 ...>
 }
