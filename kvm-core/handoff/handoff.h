/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The handoff of a VM from one instance to another: what the operator and descriptors may
 * ask of it. May call file/ and cpu/.
 */
#ifndef __KVM_CORE_HANDOFF_H
#define __KVM_CORE_HANDOFF_H

#include <linux/types.h>
#include <linux/kvm.h>
#include <linux/kvm_core.h>

struct core_adopt;
struct core_file;
struct core_instance;
struct core_vm;
struct dentry;
struct file;

/* handoff.c */
int core_move(struct core_vm *vm, struct core_instance *to,
	      struct kvm_core_move *args, bool own);
int core_handoff(struct core_vm *vm, struct core_instance *to,
		 struct kvm_core_move *args, bool own, struct core_adopt *adopt);
const char *core_stage_name(enum kvm_core_stage stage);

/* adopt.c */
int core_adopt(struct core_vm *vm, struct core_instance *to,
	       struct kvm_core_adopt *args);

/* stop.c */
bool core_move_park(struct core_file *cf);

/* dirty.c */
long core_dirty_get(struct core_file *cf, const struct kvm_dirty_log *log);
long core_dirty_clear(struct core_vm *vm, const struct kvm_clear_dirty_log *log);
void core_dirty_region(struct core_vm *vm,
		       const struct kvm_userspace_memory_region *slot);
void core_dirty_free(struct core_vm *vm);

/* pi.c */
long core_pi_take(struct file *file, struct core_file *to, unsigned long fd);
void core_pi_end(void *pi);

/* inject.c */
void core_inject_init(struct dentry *dir);

#endif
