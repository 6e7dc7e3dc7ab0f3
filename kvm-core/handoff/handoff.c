// SPDX-License-Identifier: GPL-2.0-only
/*
 * A VM goes from one instance to another while its VMM knows nothing of it.
 *
 * Until commit the source is whole: whatever fails, the vCPUs go on there. The
 * stages and what each may rely on are in Documentation/handoff.rst.
 *
 * A thread of the handoff's own does it, in the VM's address space: the caller
 * may be killed, the VMM may be killed, and it still comes to an end, since it
 * waits for nobody longer than it was told to.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include "core.h"
#include "private.h"

#define CREATE_TRACE_POINTS
#include "trace_move.h"

#define DEADLINE_US	100000
#define TIMEOUT_MS	10000
/* Targets that are set up in vain before the VM's own ioctls have to wait. */
#define OPTIMISTIC	3

static const char * const stage_names[KVM_CORE_STAGES] = {
	[KVM_CORE_STAGE_RECORD] = "record",
	[KVM_CORE_STAGE_PREPARE] = "prepare",
	[KVM_CORE_STAGE_STOP] = "stop",
	[KVM_CORE_STAGE_QUIESCE] = "quiesce",
	[KVM_CORE_STAGE_MOVE] = "move",
	[KVM_CORE_STAGE_COMMIT] = "commit",
	[KVM_CORE_STAGE_RETIRE] = "retire",
};

/**
 * core_stage_name - as userspace knows it
 * @stage: the stage
 *
 * Context: any.
 */
const char *core_stage_name(enum kvm_core_stage stage)
{
	return stage_names[stage];
}

/**
 * core_move_fail - say why a handoff fails
 * @mv: the handoff
 * @error: negative errno
 * @fmt: one line; the first reason stays
 *
 * Context: process.
 * Return: @error.
 */
int core_move_fail(struct core_move *mv, int error, const char *fmt, ...)
{
	va_list args;

	spin_lock(&mv->lock);
	if (!mv->args->reason[0]) {
		va_start(args, fmt);
		vsnprintf(mv->args->reason, sizeof(mv->args->reason), fmt, args);
		va_end(args);
	}
	spin_unlock(&mv->lock);
	return error;
}

static void stage_begin(struct core_move *mv, enum kvm_core_stage stage)
{
	mv->args->stage = stage;
	mv->since = ktime_get();
}

/* Adds up over several attempts. */
static int stage_end(struct core_move *mv, int r)
{
	enum kvm_core_stage stage = mv->args->stage;
	ktime_t held;
	u64 ns;

	if (!r) {
		r = core_inject(stage, &held);
		mv->stopped = ktime_add(mv->stopped, held);
		if (r)
			core_move_fail(mv, r, "asked for in debugfs");
	}
	ns = ktime_to_ns(ktime_sub(ktime_get(), mv->since));
	mv->args->stage_ns[stage] += ns;
	trace_kvm_core_move(mv->vm->id, mv->to->inst->name, stage, ns, r);
	return r;
}

/* One that the VMM asked for has no time left when the operator comes. */
static bool gives_way(const struct core_move *mv)
{
	return mv->own && atomic_read(&mv->vm->operators);
}

/**
 * core_move_late - has the VM been stopped for longer than it may
 * @mv: the handoff, after core_vcpu_stop()
 *
 * Context: any.
 */
bool core_move_late(const struct core_move *mv)
{
	return gives_way(mv) ||
	       ktime_us_delta(ktime_get(), mv->stopped) > mv->args->deadline_us;
}

/**
 * core_move_timed_out - has the handoff taken longer than it may
 * @mv: the handoff
 *
 * Context: any.
 */
bool core_move_timed_out(const struct core_move *mv)
{
	return gives_way(mv) ||
	       ktime_ms_delta(ktime_get(), mv->began) > mv->args->timeout_ms;
}

/* The VM stands still; with an error, the source has all that it had. */
static int standing_part(struct core_move *mv)
{
	int r;

	stage_begin(mv, KVM_CORE_STAGE_QUIESCE);
	r = stage_end(mv, core_stage_quiesce(mv));
	if (r)
		goto undo;

	stage_begin(mv, KVM_CORE_STAGE_MOVE);
	r = stage_end(mv, core_stage_move(mv));
	if (r)
		goto undo;

	stage_begin(mv, KVM_CORE_STAGE_COMMIT);
	if (core_move_late(mv))
		r = core_move_fail(mv, -ETIMEDOUT, "stopped for longer than %u us",
				   mv->args->deadline_us);
	r = stage_end(mv, r);
	if (!r && mv->from != mv->to && core_vm_come(mv->to))
		r = core_move_fail(mv, -ENODEV, "%s takes no VMs any more",
				   mv->to->inst->name);
	if (!r)
		return 0;
undo:
	core_rings_undo(mv);
	core_state_go(mv);
	core_quiesce_undo(mv);
	return r;
}

/* From stop to commit; the VM is stopped, or not, on one side or the other. */
static int stopped_part(struct core_move *mv)
{
	int r;

	stage_begin(mv, KVM_CORE_STAGE_STOP);
	r = core_stage_stop(mv);
	if (r) {
		stage_end(mv, r);
		return r;
	}
	r = stage_end(mv, 0);
	if (!r) {
		core_nowait_begin(&mv->mark);
		r = standing_part(mv);
		core_nowait_end(&mv->mark);
	}
	if (r) {
		core_vcpus_release(mv);
	} else {
		core_stage_commit(mv);
		core_devices_pass(mv);
		core_eventfds_drop(mv);
	}
	core_gate_leave(mv);
	return r;
}

/*
 * An adopter waits until the VM is its own, and for nothing that is left of the former one: its
 * vCPUs' threads stand still as long. From here on this thread has a share of what the caller
 * had, and comes to the end by itself.
 */
static void detach(struct core_move *mv)
{
	mv->rest = *mv->args;
	mv->args = &mv->rest;
	kobject_get(&mv->vm->kobj);
	__module_get(mv->from->inst->owner);
	__module_get(mv->to->inst->owner);
	__module_get(THIS_MODULE);
	refcount_inc(&mv->users);
	atomic_set(&mv->vm->moving, CORE_MOVING_RETIRE);
	mv->detached = true;
	complete(&mv->done);
}

static void put_move(struct core_move *mv)
{
	if (refcount_dec_and_test(&mv->users))
		kfree(mv);
}

/* Whoever waits for @moving sees all that the handoff did. */
static void give_moving(struct core_vm *vm)
{
	atomic_set_release(&vm->moving, CORE_MOVING_NOT);
}

/* One target that is set up, and used or destroyed. */
static int attempt(struct core_move *mv)
{
	int r;

	stage_begin(mv, KVM_CORE_STAGE_RECORD);
	r = stage_end(mv, core_stage_record(mv));
	if (r)
		goto out;

	stage_begin(mv, KVM_CORE_STAGE_PREPARE);
	r = stage_end(mv, core_stage_prepare(mv));
	if (!r && !(mv->args->flags & KVM_CORE_MOVE_DRY_RUN)) {
		r = stopped_part(mv);
		if (!r) {
			if (mv->adopt)
				detach(mv);
			stage_begin(mv, KVM_CORE_STAGE_RETIRE);
			core_stage_retire(mv);
			stage_end(mv, 0);
			core_pi_retire(mv);
			goto out;
		}
	}
	core_prepare_undo(mv);
out:
	core_pairs_drop(mv);
	return r;
}

static int run(struct core_move *mv)
{
	int i, r;

	for (i = 0;; i++) {
		if (i && mv->adopt) {
			r = core_adopt_look(mv);
			if (r)
				return r;
		}
		/* Its ioctls have been too many: they wait while it is prepared. */
		if (i >= OPTIMISTIC && core_gate_take(mv, core_move_timed_out))
			return core_move_fail(mv, -ETIMEDOUT,
					      "an ioctl on the VM does not end");
		r = attempt(mv);
		core_gate_leave(mv);
		if (r != CORE_MOVE_AGAIN || core_move_timed_out(mv))
			break;
		/* Of an attempt that does not count. */
		mv->args->reason[0] = '\0';
	}
	if (r == CORE_MOVE_AGAIN)
		r = core_move_fail(mv, -ETIMEDOUT,
				   "it is being configured all the time");
	return r;
}

/*
 * What a guest may have beyond the FPU's default (AMX) its VMM asks for by
 * arch_prctl(), and KVM looks at it in the process that creates a vCPU and sets its
 * CPUID. This thread is that process for the target. The VMM can change it no more: its
 * first vCPU has locked it.
 */
static void take_permission(struct pid *pid)
{
	struct task_struct *owner;

	rcu_read_lock();
	owner = pid_task(pid, PIDTYPE_TGID);
	if (owner)
		current->thread.fpu.guest_perm = owner->thread.fpu.guest_perm;
	rcu_read_unlock();
}

static int move_thread(void *arg)
{
	struct core_move *mv = arg;
	/* It changes at commit only, and then this is whose VM it is. */
	struct core_owner *owner = mv->adopt ? &mv->adopt->owner : &mv->vm->owner;
	struct mm_struct *mm = owner->mm;

	core_charge_cpu(owner->pid);
	if (!mmget_not_zero(mm)) {
		mv->error = core_move_fail(mv, -ESRCH, "its process is gone");
		goto out;
	}
	mv->mm = mm;
	core_mm_use(mm);
	core_charge_begin(&mv->charge, mm);
	take_permission(owner->pid);
	core_replay_begin(&mv->mark, pid_nr(owner->pid), mv->charge.memcg);

	if (mv->adopt)
		mv->error = core_adopt_begin(mv);
	if (!mv->error)
		mv->error = run(mv);

	core_mm_use(mm);
	if (mv->adopt)
		core_adopt_end(mv);
	core_mark_clear(&mv->mark);
	core_charge_end(&mv->charge);
	core_mm_use(NULL);
	mmput(mm);
	if (mv->detached) {
		struct core_vm *vm = mv->vm;

		give_moving(vm);
		core_put(mv->from);
		core_put(mv->to);
		core_vm_put(vm);
		put_move(mv);
		module_put_and_kthread_exit(0);
	}
out:
	/* After this the module may go: nothing of it runs any more here. */
	kthread_complete_and_exit(&mv->done, 0);
}

static int run_in_thread(struct core_move *mv)
{
	struct task_struct *task;

	task = kthread_run(move_thread, mv, "kvm-move/%d", mv->vm->id);
	if (IS_ERR(task))
		return core_move_fail(mv, PTR_ERR(task), "no thread");
	/* It comes to an end by itself; a long one is no task that hangs. */
	while (!wait_for_completion_timeout(&mv->done, 30 * HZ))
		;
	return mv->detached ? 0 : mv->error;
}

static bool try_moving(struct core_vm *vm)
{
	return atomic_cmpxchg_acquire(&vm->moving, CORE_MOVING_NOT, CORE_MOVING) ==
	       CORE_MOVING_NOT;
}

/* It ends by itself, soon, and nothing that anybody could want of the VM is in its way. */
static bool retires(struct core_vm *vm)
{
	return atomic_read(&vm->moving) != CORE_MOVING;
}

/*
 * An operator does not wait for another one, but for the end of a handoff that the VMM
 * asked for: that could follow one by the next, each as long as it likes.
 */
static bool take_moving(struct core_move *mv)
{
	struct core_vm *vm = mv->vm;
	bool taken;

	if (mv->own) {
		while (!atomic_read(&vm->operators)) {
			if (try_moving(vm))
				return true;
			if (!retires(vm) || core_move_timed_out(mv))
				break;
			usleep_range(1000, 5000);
		}
		return false;
	}
	atomic_inc(&vm->operators);
	while (!(taken = try_moving(vm)) && (retires(vm) || READ_ONCE(vm->own)) &&
	       !core_move_timed_out(mv))
		usleep_range(1000, 5000);
	atomic_dec(&vm->operators);
	return taken;
}

static pid_t owner_pid(struct core_vm *vm)
{
	struct core_owner owner;
	pid_t pid;

	core_vm_owner(vm, &owner);
	pid = pid_vnr(owner.pid);
	core_owner_exit(&owner);
	return pid;
}

/* From where it is, and to somewhere else? */
static int check_from(struct core_move *mv)
{
	if (mv->adopt && mv->adopt->owner.mm == mv->vm->owner.mm)
		return core_move_fail(mv, -EALREADY, "it is this process's already");
	if (!mv->adopt && mv->from == mv->to)
		return core_move_fail(mv, -EALREADY, "it is there");
	if (READ_ONCE(mv->from->state) == CORE_FAILED)
		return core_move_fail(mv, -EIO, "%s has failed",
				      mv->from->inst->name);
	return 0;
}

/**
 * core_handoff - hand a VM over to another instance, or another process, or both
 * @vm: the VM, with a reference
 * @to: the instance, pinned by the caller; with @adopt, NULL for the one that it is on
 * @args: what is wanted; filled in with the result
 * @own: its VMM asks, and gives way to the operator
 * @adopt: the process that it goes to, or NULL
 *
 * Context: as core_move().
 * Return: as core_move().
 */
int core_handoff(struct core_vm *vm, struct core_instance *to,
		 struct kvm_core_move *args, bool own, struct core_adopt *adopt)
{
	struct core_move *mv;
	int r;

	mv = kzalloc(sizeof(*mv), GFP_KERNEL);
	if (!mv)
		return -ENOMEM;
	mv->vm = vm;
	mv->to = to;
	mv->args = args;
	mv->own = own;
	mv->adopt = adopt;
	mv->began = ktime_get();
	INIT_LIST_HEAD(&mv->pairs);
	init_completion(&mv->done);
	refcount_set(&mv->users, 1);
	spin_lock_init(&mv->lock);
	args->deadline_us = args->deadline_us ?: DEADLINE_US;
	args->timeout_ms = args->timeout_ms ?: TIMEOUT_MS;
	args->pid = owner_pid(vm);
	mv->pid = task_tgid_vnr(current);

	if (!take_moving(mv)) {
		r = core_move_fail(mv, -EBUSY, "it is being moved already");
		goto out;
	}
	WRITE_ONCE(vm->own, own);
	/* Only a handoff changes it. */
	mv->from = core_vm_pin(vm);
	mv->to = mv->to ?: mv->from;
	if (mv->from)
		strscpy(args->from, mv->from->inst->name, sizeof(args->from));
	if (!mv->from)
		r = core_move_fail(mv, -ESRCH, "its descriptors are closed");
	else
		r = check_from(mv) ?: run_in_thread(mv);
	if (mv->from)
		core_put(mv->from);
	if (r == -ETIMEDOUT && own && atomic_read(&vm->operators)) {
		r = -EBUSY;
		strscpy(args->reason, "the operator moves it", sizeof(args->reason));
	}
	if (!mv->detached)
		give_moving(vm);
out:
	args->error = -r;
	put_move(mv);
	return r;
}

/**
 * core_move - hand a VM over to another instance
 * @vm: the VM, with a reference
 * @to: the instance, pinned by the caller
 * @args: what is wanted; filled in with the result
 * @own: its VMM asks, and gives way to the operator
 *
 * Context: process; sleeps for as long as @args allows, a signal does not end
 * it.
 * Return: 0; -EALREADY if the VM is there, -EBUSY if it is being handed over,
 * -EOPNOTSUPP if it cannot be, -ETIMEDOUT, or what failed. With an error the VM
 * is where it was.
 */
int core_move(struct core_vm *vm, struct core_instance *to,
	      struct kvm_core_move *args, bool own)
{
	return core_handoff(vm, to, args, own, NULL);
}
