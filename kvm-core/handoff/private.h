/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The handoff of a VM from one instance to another: what its files know of each other.
 */
#ifndef __KVM_CORE_HANDOFF_PRIVATE_H
#define __KVM_CORE_HANDOFF_PRIVATE_H

#include <linux/completion.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/refcount.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>
#include <linux/kvm.h>
#include <linux/kvm_core.h>

#include "file/file.h"
#include "handoff.h"

/* The target has to be set up anew. */
#define CORE_MOVE_AGAIN (-ERESTART)

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
 * struct core_charge - a task that allocates on behalf of a VM
 * @memcg:	who pays
 * @outer:	who paid before
 */
struct core_charge {
	struct mem_cgroup *memcg;
	struct mem_cgroup *outer;
};

/**
 * struct core_adopt - a handoff into another process's address space
 * @owner:	who adopts; after commit, whose VM it was
 * @slots:	where its memslots are there, by number
 * @nr_slots:	how many
 * @nr_vcpus:	vCPUs whose descriptors the adopter has
 * @ids:	their numbers, in its order
 * @exits:	likewise: what becomes of their last exit (enum kvm_core_adopt_exit)
 */
struct core_adopt {
	struct core_owner owner;
	struct kvm_core_adopt_slot *slots;
	u32 nr_slots;
	u32 nr_vcpus;
	s32 *ids;
	u32 *exits;
};

/**
 * struct core_move - a handoff
 * @vm:		of which VM; this has its core_vm.moving
 * @from:	the instance that the VM is on, pinned
 * @to:		the instance that it goes to, pinned by the caller, or @from
 * @own:	the VM's VMM asked
 * @adopt:	the target is another process's; NULL otherwise. The caller's, so of a
 *		handoff that is @detached not to be looked into
 * @source:	of an adoption: the address space that the VM comes from; counted (mmgrab)
 * @lives:	and it is kept from ending (mmget). Otherwise it has ended, and is empty.
 * @mm:		the target's address space
 * @pid:	of the process that the target is for, as the caller sees it
 * @args:	what was asked for, and the result; @args->reason under @lock
 * @pairs:	all of the VM's descriptors, the VM's own first, then vCPUs in the
 *		order of their creation
 * @vm_file:	the VM's descriptor
 * @vm_target:	and its target
 * @changes:	core_vm.changes when the target was set up
 * @state:	of the VM
 * @mark:	of the handoff's own thread
 * @charge:	who pays for what it allocates
 * @gated:	core_vm.gate is held for writing
 * @held:	the source's irqfds do not listen
 * @rings:	the dirty rings are the target's
 * @posted:	the target expects interrupts posted by devices
 * @noncoherent: the VM has devices whose DMA does not snoop caches, and the target was
 *		told so
 * @pin:	of the target's page tables, or NULL
 * @since:	when the stage began
 * @began:	when the handoff began
 * @stopped:	when the first vCPU was asked to stop
 * @error:	of the handoff's thread
 * @done:	completed by it
 * @users:	the caller, and the thread when it is @detached
 * @detached:	the caller has its result, and the thread goes on without it; before @done
 * @rest:	@args of the thread then
 * @lock:	see above
 */
struct core_move {
	struct core_vm *vm;
	struct core_instance *from;
	struct core_instance *to;
	bool own;
	struct core_adopt *adopt;
	struct mm_struct *source;
	bool lives;
	struct mm_struct *mm;
	pid_t pid;
	struct kvm_core_move *args;
	struct list_head pairs;
	struct file *vm_file;
	struct file *vm_target;
	s64 changes;
	struct core_vm_state *state;
	struct core_mark mark;
	struct core_charge charge;
	bool gated;
	bool held;
	bool rings;
	bool posted;
	bool noncoherent;
	void *pin;
	ktime_t since;
	ktime_t began;
	ktime_t stopped;
	int error;
	struct completion done;
	refcount_t users;
	bool detached;
	struct kvm_core_move rest;
	spinlock_t lock;		/* see above */
};

/* handoff.c */
__printf(3, 4) int core_move_fail(struct core_move *mv, int error,
				  const char *fmt, ...);
bool core_move_late(const struct core_move *mv);
bool core_move_timed_out(const struct core_move *mv);

/* charge.c */
void core_charge_begin(struct core_charge *ch, struct mm_struct *mm);
void core_charge_end(struct core_charge *ch);
int core_charge_room(struct core_charge *ch, unsigned long pages);
void core_charge_cpu(struct pid *pid);

/* record.c */
struct core_pair *core_pair_vcpu(struct core_move *mv, struct list_head *at);
int core_stage_record(struct core_move *mv);
void core_pairs_drop(struct core_move *mv);

/* Iterates over the vCPUs, and their core_files. */
#define for_each_vcpu(cf, p, mv)					\
	for (p = core_pair_vcpu(mv, (mv)->pairs.next);			\
	     p && ((cf) = core_file_of((p)->file));			\
	     p = core_pair_vcpu(mv, (p)->link.next))

/* prepare.c */
int core_stage_prepare(struct core_move *mv);
void core_prepare_undo(struct core_move *mv);
void core_targets_drop(struct core_move *mv);

/* features.c */
int core_features_check(struct core_move *mv);

/* populate.c */
int core_populate(struct core_move *mv);
void core_unpin(struct core_move *mv, struct file *vm);

/* stop.c */
int core_stage_stop(struct core_move *mv);
void core_vcpus_release(struct core_move *mv);
int core_gate_take(struct core_move *mv,
		   bool (*over)(const struct core_move *mv));
void core_gate_leave(struct core_move *mv);

/* quiesce.c */
int core_stage_quiesce(struct core_move *mv);
void core_quiesce_undo(struct core_move *mv);
void core_signals_give(struct core_move *mv);
void core_eventfds_drop(struct core_move *mv);

/* move.c */
int core_stage_move(struct core_move *mv);
void core_rings_undo(struct core_move *mv);

/* commit.c */
void core_stage_commit(struct core_move *mv);

/* retire.c */
void core_devices_pass(struct core_move *mv);
void core_stage_retire(struct core_move *mv);

/* adopt.c */
int core_adopt_begin(struct core_move *mv);
int core_adopt_look(struct core_move *mv);
bool core_adopt_ended(const struct core_move *mv);
void core_adopt_end(struct core_move *mv);
int core_adopt_record(struct core_move *mv);
int core_adopt_region(struct core_move *mv, struct kvm_userspace_memory_region *region);
bool core_adopt_exit(struct core_move *mv, const struct core_file *cf, int stop);
void core_adopt_commit(struct core_move *mv);

/* replay.c */
void core_mm_use(struct mm_struct *mm);
void core_replay_begin(struct core_mark *mark, pid_t pid, struct mem_cgroup *memcg);
void core_nowait_begin(struct core_mark *mark);
void core_nowait_end(struct core_mark *mark);
long core_replay_ioctl(struct file *file, unsigned int cmd, const void *arg);
long core_replay_buffer(struct file *file, unsigned int cmd, const void *arg,
			size_t len, const void *more, size_t more_len);
long core_replay_system(struct core_instance *ci, unsigned int cmd, const void *arg,
			size_t len);
struct file *core_replay_make(struct core_mark *mark, struct file *file,
			      unsigned int cmd, unsigned long arg);

/* state.c */
int core_state_prepare(struct core_move *mv);
void core_state_free(struct core_move *mv);
int core_state_vcpu(struct core_move *mv, struct core_file *cf);
int core_state_vm_first(struct core_move *mv);
int core_state_vm_last(struct core_move *mv);
void core_state_go(struct core_move *mv);

/* dirty.c */
int core_dirty_take(struct core_move *mv);

/* pi.c */
int core_pi_prepare(struct core_move *mv);
void core_pi_commit(struct core_move *mv);
void core_pi_retire(struct core_move *mv);

/**
 * struct core_pi_leave - a VM gives up the interrupt of a device
 * @irq:	the host's number
 * @left:	one was posted, and the vCPU did not take it
 */
struct core_pi_leave {
	unsigned int irq;
	bool left;
};

void core_pi_leave_begin(struct core_pi_leave *leave, unsigned int irq);
bool core_pi_leave_end(struct core_pi_leave *leave);

/* inject.c */
int core_inject(enum kvm_core_stage stage, ktime_t *held);

#endif
