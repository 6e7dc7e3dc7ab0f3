// SPDX-License-Identifier: GPL-2.0-only
// Which host interrupts are posted, and to which descriptor, is kvm-core's to say:
// it knows that a VM which leaves one instance comes to another.
@@
expression irq, info;
@@
- irq_set_vcpu_affinity(irq, info)
+ kvm_core_irq_post(irq, info)

@@
@@
- irq_remapping_cap(IRQ_POSTING_CAP)
+ kvm_core_irq_posting()
