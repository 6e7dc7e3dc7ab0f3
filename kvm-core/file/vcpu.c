// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way of a vCPU into its instance, and how a handoff gets it out of there:
 * the thread leaves guest mode as for a signal, stays in KVM_RUN here, and goes
 * on in the instance that is then behind the descriptor. Userspace sees nothing.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/dirty_ring.h>
#include <linux/kvm.h>
#include <linux/kvm_core.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/task_work.h>
#include <relay/compat.h>

#include "core.h"
#include "file.h"

/**
 * core_vcpu_alloc - the gate of a new vCPU
 *
 * Context: process; sleeps.
 * Return: the gate or NULL.
 */
struct core_vcpu *core_vcpu_alloc(void)
{
	struct core_vcpu *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);

	if (!vcpu)
		return NULL;
	mutex_init(&vcpu->gate);
	spin_lock_init(&vcpu->kick);
	return vcpu;
}

/**
 * core_vcpu_free - undo core_vcpu_alloc()
 * @vcpu: may be NULL; no thread is in it
 *
 * Context: process.
 */
void core_vcpu_free(struct core_vcpu *vcpu)
{
	int i;

	if (!vcpu)
		return;
	for (i = 0; i < KVM_CORE_VCPU_PAGES; i++)
		if (vcpu->pages[i])
			put_page(vcpu->pages[i]);
	core_above.pi_end(vcpu->pi);
	core_pi_unref(vcpu->pi);
	kfree(vcpu);
}

/*
 * A signal that nobody sent: KVM leaves the guest, or wakes up, with -EINTR. The
 * flag is taken back before userspace could notice, unless it is somebody
 * else's too. @kick is held.
 */
static void leave_guest(struct core_vcpu *vcpu, struct task_struct *task)
{
	WRITE_ONCE(vcpu->kicked, true);
	set_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL);
	if (task == current)
		return;
	if (!wake_up_process(task))
		kick_process(task);
}

static void leave_guest_soon(struct core_vcpu *vcpu)
{
	spin_lock(&vcpu->kick);
	leave_guest(vcpu, current);
	spin_unlock(&vcpu->kick);
}

/*
 * The flag may be there for work that waits for this thread. Of those who add such work to a
 * thread that can be in KVM_RUN only io_uring sets it (TWA_SIGNAL), and the VMM has to be told
 * then. All others are content with TIF_NOTIFY_RESUME, which KVM looks at: on 6.12 the
 * scheduler adds work to every thread every 100 ms (task_mm_cid_work).
 */
static bool has_signalling_work(void)
{
	return relay_uses_io_uring(current) && task_work_pending(current);
}

static void stay_in_kernel(struct core_vcpu *vcpu)
{
	spin_lock(&vcpu->kick);
	if (vcpu->kicked) {
		WRITE_ONCE(vcpu->kicked, false);
		clear_thread_flag(TIF_NOTIFY_SIGNAL);
		/* As task_work_add() has it: first the work, then the flag. */
		smp_mb__after_atomic();
		if (has_signalling_work())
			set_thread_flag(TIF_NOTIFY_SIGNAL);
	}
	spin_unlock(&vcpu->kick);
}

/**
 * core_vcpu_stop - have a vCPU stop at the gate
 * @vcpu: the vCPU; core_vm.move is set
 *
 * Context: process.
 */
void core_vcpu_stop(struct core_vcpu *vcpu)
{
	/* Before @runner is read: pairs with xchg() in vcpu_run(). */
	smp_store_mb(vcpu->stop, true);
	core_vcpu_kick(vcpu);
}

/**
 * core_vcpu_kick - have the thread that is in KVM_RUN look at the gate
 * @vcpu: the vCPU, after core_vcpu_stop()
 *
 * Context: process.
 */
void core_vcpu_kick(struct core_vcpu *vcpu)
{
	struct task_struct *runner;

	spin_lock(&vcpu->kick);
	/* Once: it may be gone from there the next moment, though it still waits for @kick. */
	runner = READ_ONCE(vcpu->runner);
	if (runner && !READ_ONCE(vcpu->parked))
		leave_guest(vcpu, runner);
	spin_unlock(&vcpu->kick);
}

/*
 * True as long as a kick may be on its way: a handoff sets @stop, kicks, and
 * clears @stop, so who finds it cleared finds the kick.
 */
static bool wanted(struct core_vcpu *vcpu)
{
	bool stop = READ_ONCE(vcpu->stop);

	/* Pairs with the spinlock that @kicked was set under. */
	smp_rmb();
	return unlikely(stop || READ_ONCE(vcpu->kicked));
}

static long vcpu_run(struct file *file, struct core_file *cf, unsigned long arg)
{
	struct core_vcpu *vcpu = cf->vcpu;
	long r;

	/* Of another process KVM_RUN is EIO, and nothing has happened. */
	if (unlikely(vcpu->exit) && current->mm == cf->mm)
		vcpu->exit = KVM_CORE_ADOPT_EXIT_DONE;
	xchg(&vcpu->runner, current);
	if (unlikely(READ_ONCE(vcpu->stop)))
		leave_guest_soon(vcpu);
	for (;;) {
		r = cf->inner->unlocked_ioctl(file, KVM_RUN, arg);
		if (likely(!wanted(vcpu)))
			break;
		stay_in_kernel(vcpu);
		if (r != -EINTR)
			break;
		/*
		 * Where userspace has a reason of its own to see -EINTR, a signal
		 * or immediate_exit, it is there still in the next round.
		 */
		if (READ_ONCE(vcpu->stop)) {
			if (core_above.park(cf))
				/* The instance has something to finish first. */
				leave_guest_soon(vcpu);
		} else if (signal_pending(current)) {
			/* Unless it is the kick of the next handoff. */
			smp_rmb();
			if (!wanted(vcpu))
				break;
		}
	}
	xchg(&vcpu->runner, NULL);
	if (unlikely(wanted(vcpu)))
		stay_in_kernel(vcpu);
	return r;
}

/* Of a dirty ring, for who collects it while the vCPU runs. */
static bool beside_run(unsigned int cmd)
{
	return _IOC_TYPE(cmd) == KVMIO &&
	       (_IOC_NR(cmd) & DIRTY_RING_IOCTLS_MASK) == DIRTY_RING_IOCTLS;
}

/*
 * KVM has EIO for who calls from another address space than the VM's. That is not to be
 * waited for, and the gate is held as long as the vCPU runs where it is now. A
 * posted-interrupt descriptor is taken from another process's vCPU, and by who likes.
 */
static bool is_elsewhere(const struct core_file *cf, unsigned int cmd)
{
	return unlikely(current->mm != READ_ONCE(cf->mm)) && cmd != KVM_CORE_VCPU_TAKE_PI;
}

/**
 * core_vcpu_ioctl - an ioctl on a vCPU
 * @file: the descriptor's
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Context: process; sleeps.
 * Return: what the instance returns, or -EINTR, or -EIO if it failed.
 */
long core_vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct core_file *cf = core_file_of(file);
	struct core_vcpu *vcpu = cf->vcpu;
	long r;

	if (cmd != KVM_RUN && beside_run(cmd))
		return core_file_ioctl(file, cmd, arg);
	if (is_elsewhere(cf, cmd))
		return -EIO;
	if (mutex_lock_killable(&vcpu->gate))
		return -EINTR;
	if (unlikely(READ_ONCE(cf->ci->state) == CORE_FAILED))
		r = -EIO;
	else if (likely(cmd == KVM_RUN))
		r = vcpu_run(file, cf, arg);
	else if (cmd == KVM_CORE_VCPU_TAKE_PI)
		r = core_above.pi_take(file, cf, arg);
	else
		r = core_call(cf, file, cmd, arg);
	mutex_unlock(&vcpu->gate);
	if (unlikely(READ_ONCE(vcpu->stop)))
		wake_up_all(&cf->vm->wait);
	return r;
}

/**
 * core_vcpu_compat_ioctl - an ioctl of a 32-bit process on a vCPU
 * @file: the descriptor's
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Context: process; sleeps.
 * Return: as core_vcpu_ioctl().
 */
long core_vcpu_compat_ioctl(struct file *file, unsigned int cmd,
			    unsigned long arg)
{
	struct core_file *cf = core_file_of(file);
	long r;

	if (cmd == KVM_RUN)
		return core_vcpu_ioctl(file, cmd, arg);
	if (beside_run(cmd))
		return core_file_compat_ioctl(file, cmd, arg);
	if (is_elsewhere(cf, cmd))
		return -EIO;
	if (mutex_lock_killable(&cf->vcpu->gate))
		return -EINTR;
	if (READ_ONCE(cf->ci->state) == CORE_FAILED)
		r = -EIO;
	else
		r = cf->inner->compat_ioctl(file, cmd, arg);
	if (r >= 0)
		core_record_block(cf, "its VMM is a 32-bit process");
	mutex_unlock(&cf->vcpu->gate);
	return r;
}
