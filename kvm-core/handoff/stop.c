// SPDX-License-Identifier: GPL-2.0-only
/*
 * Stage stop: every vCPU waits in KVM_RUN, or is held, and no ioctl is under way.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/delay.h>
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/wait.h>

#include "core.h"
#include "private.h"

/* What the handoff wants a parked thread to do, in its own context. */
static void do_work(struct core_move *mv, struct core_file *cf)
{
	struct core_vcpu *vcpu = cf->vcpu;
	struct core_charge charge;
	struct core_mark mark;

	core_charge_begin(&charge, current->mm);
	core_replay_begin(&mark, 0, charge.memcg);
	core_nowait_begin(&mark);
	vcpu->result = vcpu->work(mv, cf);
	core_nowait_end(&mark);
	core_mark_clear(&mark);
	core_charge_end(&charge);
	/* After the result, which the handoff reads then. */
	smp_store_release(&vcpu->work, NULL);
	wake_up_all(&cf->vm->wait);
}

static bool has_work(struct core_vcpu *vcpu)
{
	/* Before what it is to work on: pairs with move_vcpus(). */
	return smp_load_acquire(&vcpu->work);
}

/**
 * core_move_park - a vCPU's thread waits for the end of the handoff
 * @cf: the vCPU's descriptor; its gate is held
 *
 * Context: the vCPU's thread, in KVM_RUN, out of the instance; sleeps.
 * Return: false when it may go on, true when KVM_RUN has to be called first,
 * with a signal pending.
 */
bool core_move_park(struct core_file *cf)
{
	struct core_vcpu *vcpu = cf->vcpu;
	struct core_vm *vm = cf->vm;

	if (cf->ci->inst->ops->vcpu_stop(cf->file->private_data))
		return true;

	spin_lock(&vcpu->kick);
	WRITE_ONCE(vcpu->parked, vcpu->stop);
	spin_unlock(&vcpu->kick);
	if (!vcpu->parked)
		return false;
	wake_up_all(&vm->wait);

	for (;;) {
		wait_event(vm->wait, has_work(vcpu) || !READ_ONCE(vcpu->stop));
		if (!READ_ONCE(vcpu->work))
			break;
		do_work(vm->move, cf);
	}
	spin_lock(&vcpu->kick);
	WRITE_ONCE(vcpu->parked, false);
	spin_unlock(&vcpu->kick);
	/* The handoff may be gone after this, the VM is not. */
	wake_up_all(&vm->wait);
	return false;
}

/* Its thread is elsewhere: the handoff holds the gate itself. */
static bool try_hold(struct core_move *mv, struct core_file *cf)
{
	struct core_vcpu *vcpu = cf->vcpu;
	int r;

	if (!mutex_trylock(&vcpu->gate))
		return false;
	r = mv->from->inst->ops->vcpu_stop(cf->file->private_data);
	if (!core_adopt_exit(mv, cf, r)) {
		mutex_unlock(&vcpu->gate);
		return false;
	}
	vcpu->held = true;
	return true;
}

static struct core_file *not_arrived(struct core_move *mv)
{
	struct core_file *cf;
	struct core_pair *p;

	for_each_vcpu(cf, p, mv)
		if (!READ_ONCE(cf->vcpu->parked) && !cf->vcpu->held &&
		    !try_hold(mv, cf))
			return cf;
	return NULL;
}

/**
 * core_vcpus_release - the vCPUs go on
 * @mv: the handoff
 *
 * Context: the handoff's thread; sleeps.
 */
void core_vcpus_release(struct core_move *mv)
{
	struct core_file *cf;
	struct core_pair *p;

	for_each_vcpu(cf, p, mv) {
		struct core_vcpu *vcpu = cf->vcpu;

		spin_lock(&vcpu->kick);
		WRITE_ONCE(vcpu->stop, false);
		spin_unlock(&vcpu->kick);
		if (vcpu->held) {
			vcpu->held = false;
			mutex_unlock(&vcpu->gate);
		}
	}
	wake_up_all(&mv->vm->wait);
	mv->args->downtime_ns += ktime_to_ns(ktime_sub(ktime_get(), mv->stopped));
	for_each_vcpu(cf, p, mv)
		wait_event(mv->vm->wait, !READ_ONCE(cf->vcpu->parked));
	WRITE_ONCE(mv->vm->move, NULL);
}

/**
 * core_gate_take - from here on no ioctl on the VM is under way
 * @mv: the handoff
 * @over: tells when to give up
 *
 * An ioctl that holds the gate is waited for; one that comes is not held up.
 *
 * Context: the handoff's thread; sleeps.
 * Return: 0 or -ETIMEDOUT.
 */
int core_gate_take(struct core_move *mv,
		   bool (*over)(const struct core_move *mv))
{
	while (!down_write_trylock(&mv->vm->gate)) {
		if (over(mv))
			return -ETIMEDOUT;
		usleep_range(100, 1000);
	}
	mv->gated = true;
	return 0;
}

/**
 * core_gate_leave - undo core_gate_take(), if it was done
 * @mv: the handoff
 *
 * Context: the handoff's thread; sleeps.
 */
void core_gate_leave(struct core_move *mv)
{
	if (mv->gated)
		up_write(&mv->vm->gate);
	mv->gated = false;
}

/* @missing: the vCPU that did not come, with -ETIMEDOUT. */
static int stop_vcpus(struct core_move *mv, struct core_file **missing)
{
	struct core_file *cf;
	struct core_pair *p;

	mv->args->attempts++;
	mv->stopped = ktime_get();
	mv->args->stopped_at_ns = ktime_to_ns(mv->stopped);
	WRITE_ONCE(mv->vm->move, mv);
	for_each_vcpu(cf, p, mv)
		core_vcpu_stop(cf->vcpu);
	while ((cf = not_arrived(mv))) {
		*missing = cf;
		if (core_move_late(mv))
			return -ETIMEDOUT;
		if (!wait_event_timeout(mv->vm->wait, !not_arrived(mv),
					usecs_to_jiffies(1000))) {
			for_each_vcpu(cf, p, mv)
				core_vcpu_kick(cf->vcpu);
		}
	}
	return 0;
}

/**
 * core_stage_stop - stop the VM
 * @mv: the handoff
 *
 * All vCPUs stand still and the gate is held, or nothing of both. The gate is the
 * last: a thread that completes an exit in userspace may need an ioctl on the VM
 * (KVM_IRQ_LINE, say) before it comes back to KVM_RUN. It comes when it comes; the
 * others do not stand still for it longer than the deadline.
 *
 * Context: the handoff's thread; sleeps.
 * Return: 0, CORE_MOVE_AGAIN, or an error, and core_move_fail() was told.
 */
int core_stage_stop(struct core_move *mv)
{
	struct core_file *missing;
	unsigned int nap = 1000;
	int r;

	/*
	 * Where the gate was held for preparing, it is kept for one stop: whoever
	 * waits for it would change something at once.
	 */
	while (atomic64_read(&mv->vm->changes) == mv->changes) {
		missing = NULL;
		r = stop_vcpus(mv, &missing);
		if (!r && !mv->gated) {
			missing = NULL;
			r = core_gate_take(mv, core_move_late);
		}
		if (!r && atomic64_read(&mv->vm->changes) == mv->changes)
			return 0;
		core_vcpus_release(mv);
		core_gate_leave(mv);
		if (r && missing && core_adopt_ended(mv))
			return CORE_MOVE_AGAIN;
		if (r && missing && mv->adopt && !mv->lives)
			return core_move_fail(mv, -EBUSY,
					      "vCPU %d: its process has ended with an exit that is not completed",
					      missing->id);
		if (r && core_move_timed_out(mv))
			return missing ?
			       core_move_fail(mv, r,
					      "vCPU %d: its thread does not come back to KVM_RUN",
					      missing->id) :
			       core_move_fail(mv, r, "an ioctl on the VM does not end");
		usleep_range(nap, 2 * nap);
		nap = min(2 * nap, 100000u);
	}
	return CORE_MOVE_AGAIN;
}
