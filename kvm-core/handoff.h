/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The handoff of a VM from one instance to another, and its parts.
 */
#ifndef __KVM_CORE_HANDOFF_H
#define __KVM_CORE_HANDOFF_H

#include <linux/completion.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/kvm.h>
#include <linux/kvm_core.h>

#include "replay.h"
#include "vm.h"

/**
 * struct core_pair - a descriptor of the VM and what it is to be exchanged with
 * @link:	in core_move.pairs
 * @file:	userspace's, with a reference
 * @target:	the new one, which nobody but the handoff knows
 */
struct core_pair {
	struct list_head link;
	struct file *file;
	struct file *target;
};

/**
 * struct core_move - a handoff
 * @vm:		of which VM; this has its core_vm.moving
 * @from:	the instance that the VM is on, pinned
 * @to:		the instance that it goes to, pinned by the caller
 * @args:	what was asked for, and the result; @args->reason under @lock
 * @pairs:	all of the VM's descriptors, the VM's own first, then vCPUs in the
 *		order of their creation
 * @vm_file:	the VM's descriptor
 * @vm_target:	and its target
 * @changes:	core_vm.changes when the target was set up
 * @state:	of the VM
 * @rp:		the mark of the handoff's own thread
 * @gated:	core_vm.gate is held for writing
 * @held:	the source's irqfds do not listen
 * @rings:	the dirty rings are the target's
 * @posted:	the target expects interrupts posted by devices
 * @pin:	of the target's page tables, or NULL
 * @since:	when the stage began
 * @began:	when the handoff began
 * @stopped:	when the first vCPU was asked to stop
 * @error:	of the handoff's thread
 * @done:	completed by it
 * @lock:	see above
 */
struct core_move {
	struct core_vm *vm;
	struct core_instance *from;
	struct core_instance *to;
	struct kvm_core_move *args;
	struct list_head pairs;
	struct file *vm_file;
	struct file *vm_target;
	s64 changes;
	struct core_vm_state *state;
	struct core_replay rp;
	bool gated;
	bool held;
	bool rings;
	bool posted;
	void *pin;
	ktime_t since;
	ktime_t began;
	ktime_t stopped;
	int error;
	struct completion done;
	spinlock_t lock;		/* see above */
};

/* handoff.c */
int core_move(struct core_vm *vm, struct core_instance *to,
	      struct kvm_core_move *args);
const char *core_stage_name(enum kvm_core_stage stage);
bool core_move_park(struct core_file *cf);
void core_move_progress(struct core_vm *vm);
__printf(3, 4) int core_move_fail(struct core_move *mv, int error,
				  const char *fmt, ...);

/* state.c */
struct core_vcpu_state;
struct core_vm_state;
int core_state_prepare(struct core_move *mv);
void core_state_free(struct core_move *mv);
int core_state_vcpu(struct core_move *mv, struct core_file *cf);
int core_state_vm_first(struct core_move *mv);
int core_state_vm_last(struct core_move *mv);
void core_state_go(struct core_move *mv);

/* dirty.c */
int core_dirty_take(struct core_move *mv);
long core_dirty_get(struct core_file *cf, struct kvm_dirty_log __user *arg);
long core_dirty_clear(struct core_vm *vm, struct kvm_clear_dirty_log __user *arg);
long core_dirty_region(struct core_vm *vm,
		       const struct kvm_userspace_memory_region __user *arg);
void core_dirty_free(struct core_vm *vm);

/* pi.c */
void *core_pi_ref(void *pi);
int core_pi_prepare(struct core_move *mv);
void core_pi_commit(struct core_move *mv);
void core_pi_retire(struct core_move *mv);
long core_pi_take(struct file *file, struct core_file *to, unsigned long fd);
void core_pi_end(void *pi);

/* control.c */
int core_control_init(void);
void core_control_exit(void);
long core_control_move_self(struct core_vm *vm,
			    struct kvm_core_move __user *arg);

/* inject.c */
int core_inject(enum kvm_core_stage stage);
void core_inject_init(struct dentry *dir);

#endif
