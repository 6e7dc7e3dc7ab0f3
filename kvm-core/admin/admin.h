/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The operator's way in: /dev/kvm-core, sysfs, debugfs, the trace system "kvm". May call
 * every wing.
 */
#ifndef __KVM_CORE_ADMIN_H
#define __KVM_CORE_ADMIN_H

#include <linux/types.h>

struct core_instance;
struct core_vm;
struct kvm_core_adopt;
struct kvm_core_failures;
struct kvm_core_handoff;
struct kvm_core_move;
struct kvm_core_stats;

/* control.c */
int core_set_default(const char *name);
int core_set_draining(struct core_instance *ci, bool drain);
int core_control_init(void);
void core_control_exit(void);
long core_control_move_self(struct core_vm *vm,
			    struct kvm_core_move __user *arg);
long core_control_adopt(struct core_vm *vm, struct kvm_core_adopt __user *arg);
void core_control_event(char **env);

/* history.c */
int core_history_init(void);
void core_history_exit(void);
void core_history_flush(void);
void core_history_add(struct core_vm *vm, const struct kvm_core_move *args, u32 flags);
long core_history_get(struct kvm_core_handoff __user *arg);
long core_history_stats(struct kvm_core_stats __user *arg);
long core_history_failures(struct kvm_core_failures __user *arg);

/* sysfs.c */
int core_sysfs_init(void);
void core_sysfs_exit(void);
int core_sysfs_add(struct core_instance *ci);
void core_sysfs_remove(struct core_instance *ci);
int core_sysfs_vm_add(struct core_vm *vm);

/* debugfs.c */
void core_debugfs_init(void);
void core_debugfs_exit(void);
void core_debugfs_add(struct core_instance *ci);
void core_debugfs_remove(struct core_instance *ci);
void core_debugfs_default(void);

/* trace.c */
void core_trace_start(struct core_instance *ci);
void core_trace_stop(struct core_instance *ci);
void core_trace_open(void);
void core_trace_close(void);

#endif
