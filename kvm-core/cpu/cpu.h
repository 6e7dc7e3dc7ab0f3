/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a CPU and the kernel have once: virtualization on or off, VMX, SVM, user-return
 * MSRs, callbacks. Calls registry.c and no wing.
 */
#ifndef __KVM_CORE_CPU_H
#define __KVM_CORE_CPU_H

#include <linux/types.h>

struct core_instance;

/* cpu.c */
int core_cpu_init(void);
void core_cpu_exit(void);
bool core_cpu_enabled(void);

/* uret.c */
void core_uret_init(void);
void core_uret_cpu_sample(void);
void core_uret_cpu_restore(u32 keep);

/* callbacks.c */
void core_callbacks_clear(struct core_instance *ci);

/* check.c */
extern bool core_entry_checks;
int core_check_init(bool on);
void core_check_exit(void);
void core_check_asid_given(u32 asid, const void *vcpu);
void core_check_vpid_freed(int vpid);

/* vmx.c */
bool core_vmx_supported(void);
int core_vmx_enable(void);
void core_vmx_disable(void);
void core_vmx_emergency_off(void);
void core_vmx_forget(struct core_instance *ci);
void core_vmx_exit(void);

/* svm.c */
bool core_svm_supported(void);
int core_svm_init(void);
int core_svm_enable(void);
void core_svm_disable(void);
void core_svm_emergency_off(void);
void core_svm_forget(struct core_instance *ci);
void core_svm_exit(void);

#endif
