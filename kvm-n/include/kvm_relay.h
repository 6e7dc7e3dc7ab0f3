/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Included before the first line of every C file of an instance.
 *
 * Must stay free of printk.h and module.h: pr_fmt() is defined later.
 */
#ifndef __KVM_RELAY_H
#define __KVM_RELAY_H

#include <linux/export.h>

/*
 * Needed to declare per-CPU variables; asm/percpu.h would say the same, but
 * includes printk.h.
 */
#define PER_CPU_BASE_SECTION ".data..percpu"
#define PER_CPU_ATTRIBUTES
#include <kvm-core/instance.h>

/* An instance exports nothing: common and vendor halves are one module. */
#undef EXPORT_SYMBOL
#undef EXPORT_SYMBOL_GPL
#undef EXPORT_SYMBOL_NS
#undef EXPORT_SYMBOL_NS_GPL
#define EXPORT_SYMBOL(sym)
#define EXPORT_SYMBOL_GPL(sym)
#define EXPORT_SYMBOL_NS(sym, ns)
#define EXPORT_SYMBOL_NS_GPL(sym, ns)

/* The name of something that the kernel has once, for this instance. */
#define __KVM_RELAY_NAME(name, n) name##_##n
#define _KVM_RELAY_NAME(name, n) __KVM_RELAY_NAME(name, n)
#define KVM_RELAY_NAME(name) _KVM_RELAY_NAME(name, KVM_RELAY_N)

/* This instance; main.c. */
extern struct kvm_core_instance kvm_relay_instance;

/* Row user-access: expanded where uaccess.h is known. */
#define kvm_relay_get_user(v, p)					\
	(copy_from_user(&(v), p, sizeof(v)) ? -EFAULT : 0)
#define kvm_relay_put_user(v, p)					\
({									\
	typeof(*(p)) __v = (v);						\
									\
	copy_to_user(p, &__v, sizeof(__v)) ? -EFAULT : 0;		\
})

/* Row user-access-nested; replay.c. */
unsigned long kvm_relay_clear_user(void __user *to, unsigned long n);

/* Row late; late.c. */
struct mm_struct;
struct work_struct;
bool kvm_relay_late_room(void);
void kvm_relay_late_queue(struct work_struct *work);
void kvm_relay_late_fetch(struct mm_struct *mm, unsigned long addr);
bool kvm_relay_late_cut(struct work_struct *work);

/* Dirty rings: dirty_ring.c; the numbers are those of <linux/dirty_ring.h>. */
struct kvm;
struct kvm_vcpu;
int kvm_relay_reset_dirty_rings(struct kvm *kvm);
long kvm_relay_dirty_ring_ioctl(struct kvm_vcpu *vcpu, unsigned int cmd,
				unsigned long arg);
unsigned int kvm_relay_pml_entries(struct kvm_vcpu *vcpu);
/* Row dirty-ring-entry, where it is not KVM's own condition. */
#define kvm_relay_ring_stopped(vcpu)					\
	((vcpu)->kvm->dirty_ring_size &&				\
	 dirty_ring_stopped((struct dirty_ring *)(vcpu)->dirty_ring.dirty_gfns))
#define kvm_relay_is_dirty_ring(cmd) (((cmd) & 0xf0) == 0xf0)

/* Row shutdown; vendor.c of SVM. */
void kvm_relay_shut_down(struct kvm_vcpu *vcpu);

/* Rows of kind "name" in transforms.tsv. */
#define current_vmcs		kvm_core_current_vmcs
#define current_tsc_ratio	kvm_core_tsc_ratio
#define sev_bitmap_lock		kvm_core_sev_bitmap_lock
#define sev_deactivate_lock	kvm_core_sev_deactivate_lock
#define srso_lock		kvm_core_srso_lock
#define srso_nr_vms		kvm_core_srso_vms
#define l1tf_vmx_mitigation	kvm_relay_l1tf

#endif
