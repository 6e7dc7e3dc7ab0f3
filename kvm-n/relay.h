/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the glue's files know of each other, and of the two halves of KVM.
 */
#ifndef __KVM_RELAY_GLUE_H
#define __KVM_RELAY_GLUE_H

#include <linux/init.h>

/*
 * Prototypes as the linker needs them (ld --wrap): the wrapped function's, with
 * the type taken from it, so that a change in a later kernel does not compile.
 */
#define WRAP(symbol) extern typeof(symbol) __wrap_##symbol
#define REAL(symbol) extern typeof(symbol) __real_##symbol

/*
 * module_init() and module_exit() of x86.c and of vmx.c or svm.c; the build
 * gives them these names (rows of kind "init").
 */
int kvm_relay_x86_init(void);
void kvm_relay_x86_exit(void);
int kvm_relay_vendor_init(void);
void kvm_relay_vendor_exit(void);

struct kvm;
struct kvm_vcpu;

/* vendor.c: called before each VM entry, with interrupts disabled. */
void kvm_relay_check_entry(struct kvm_vcpu *vcpu);

/* vendor.c: struct kvm_core_ops has them. */
void *kvm_relay_vcpu_pi(void *vcpu, void *pi, enum kvm_core_pi_use use);
int kvm_relay_vm_posted(void *vm, bool on);

/* vendor.c: do devices set bits of a LAPIC that is the instance's? */
bool kvm_relay_posts_to_lapic(struct kvm *kvm);

/*
 * vendor.c: what of struct kvm_core_vcpu_extra is the vendor's; the vCPU is loaded. After
 * kvm_relay_adopt() nothing that records branches is the calling thread's if that is not
 * the vCPU's.
 */
void kvm_relay_settle(struct kvm_vcpu *vcpu, struct kvm_core_vcpu_extra *extra);
void kvm_relay_adopt(struct kvm_vcpu *vcpu, const struct kvm_core_vcpu_extra *extra);

/* hyperv.c: what of struct kvm_core_vcpu_extra is Hyper-V's; the vCPU is loaded. */
void kvm_relay_hyperv_settle(struct kvm_vcpu *vcpu, struct kvm_core_vcpu_extra *extra);
void kvm_relay_hyperv_adopt(struct kvm_vcpu *vcpu, const struct kvm_core_vcpu_extra *extra);

/* vm.c: struct kvm_core_ops has them. */
void kvm_relay_vm_settle(void *vm, struct kvm_core_vm_extra *extra);
void kvm_relay_vm_clock(void *vm, const struct kvm_core_vm_extra *extra);
void kvm_relay_vm_go(void *vm, const struct kvm_core_vm_extra *extra);
void kvm_relay_vm_adopt(void *vm, const struct kvm_core_vm_extra *extra);

/* stats.c: struct kvm_core_ops has them. */
void kvm_relay_vcpu_stats(void *vcpu, struct kvm_core_statistics *stats);
void kvm_relay_vm_stats(void *vm, struct kvm_core_statistics *stats);
void kvm_relay_vcpu_stats_adopt(void *vcpu, const struct kvm_core_stats_run *runs,
				unsigned int nr, const void *from);
void kvm_relay_vm_stats_adopt(void *vm, const struct kvm_core_stats_run *runs,
			      unsigned int nr, const void *from);

/* populate.c: struct kvm_core_ops has them. */
int kvm_relay_vcpu_populate(void *vcpu, u64 gpa, u64 size, u64 *pages);
void *kvm_relay_vcpu_pin(void *vcpu);
void kvm_relay_vm_unpin(void *vm, void *pin);

/* handoff.c: struct kvm_core_instance has it. */
extern const struct kvm_core_ops kvm_relay_ops;

/* late.c */
int kvm_relay_late_init(void);
void kvm_relay_late_exit(void);

/* trace.c: struct kvm_core_instance has it. */
int kvm_relay_trace(unsigned int event, bool on);

#endif
