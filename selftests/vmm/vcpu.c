// SPDX-License-Identifier: GPL-2.0-only
/* vCPU threads: the run loop, its exits, pausing and resuming. */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "vmm.h"

#define SIG_KICK	SIGUSR1

#define APIC_LVTT	0x320
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define LVT_TIMER_MODE	0x60000

/*
 * The kick is blocked in vCPU threads and unblocked by KVM while in KVM_RUN. It
 * stays pending until it is taken by drain_kicks(), so KVM_RUN cannot start the
 * guest after it. Unlike with immediate_exit, KVM goes through its run loop once
 * without entering the guest, and moves expired timers into the IRR on the way.
 */
static void on_kick(int sig)
{
	(void)sig;
}

static int mask_kick(struct vcpu *v)
{
	struct {
		struct kvm_signal_mask head;
		__u64 set;
	} mask = { .head.len = 8 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIG_KICK);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return ioctl(v->fd, KVM_SET_SIGNAL_MASK, &mask);
}

static void drain_kicks(void)
{
	struct timespec none = { 0 };
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIG_KICK);
	while (sigtimedwait(&set, NULL, &none) > 0)
		;
}

/* Who watches looks at the first byte: it comes when the rest is there. */
static void died(struct vcpu *v, const char *why, __u64 a, __u64 b)
{
	char *report = v->vm->report->died[v->id];
	char text[sizeof(v->vm->report->died[0])];
	struct kvm_regs regs = { 0 };

	ioctl(v->fd, KVM_GET_REGS, &regs);
	snprintf(text, sizeof(text),
		 "vCPU %d on %s: %s (0x%llx, 0x%llx) at RIP 0x%llx", v->id,
		 v->vm->path, why, a, b, regs.rip);
	memcpy(report + 1, text + 1, sizeof(text) - 1);
	VMM_STORE(report[0], text[0]);
}

/*
 * Timers of a CPU fire in their order: who has slept on each of them knows that all
 * have fired whose time had come before.
 */
static void let_timers_fire(void)
{
	struct timespec nap = { .tv_nsec = 1 };
	cpu_set_t was, one;
	int i, n = sysconf(_SC_NPROCESSORS_CONF);

	if (sched_getaffinity(0, sizeof(was), &was))
		return;
	for (i = 0; i < n; i++) {
		CPU_ZERO(&one);
		CPU_SET(i, &one);
		/* The timers of a CPU that is offline are on another. */
		if (!sched_setaffinity(0, sizeof(one), &one))
			nanosleep(&nap, NULL);
	}
	sched_setaffinity(0, sizeof(was), &was);
}

/*
 * KVM_GET_LAPIC shows an expired one-shot timer the same whether its tick was
 * delivered, is still only a note of KVM's outside of the LAPIC page, or not even
 * that: it fires on the CPU where the vCPU has set it, which may be late, as one of an
 * emulator is on a busy machine. Here it is made certain: expired first, and fired,
 * then once more through KVM_RUN with the kick pending, and the tick is in the IRR or
 * was delivered. A timer that VMX counts down in guest mode (preemption timer) does
 * not expire here at all, but KVM looks at it when it blocks a halted vCPU, so the
 * vCPU goes through KVM_RUN as a halted one.
 */
static void settle_timer(struct vcpu *v)
{
	struct kvm_mp_state was, halted = { .mp_state = KVM_MP_STATE_HALTED };
	struct kvm_lapic_state l;
	__u32 lvtt, tmict, tmcct;

	v->shot_done = false;
	if (ioctl(v->fd, KVM_GET_LAPIC, &l))
		return;
	memcpy(&lvtt, l.regs + APIC_LVTT, 4);
	memcpy(&tmict, l.regs + APIC_TMICT, 4);
	memcpy(&tmcct, l.regs + APIC_TMCCT, 4);
	if ((lvtt & LVT_TIMER_MODE) || !tmict || tmcct)
		return;
	if (ioctl(v->fd, KVM_GET_MP_STATE, &was))
		return;
	let_timers_fire();
	if (was.mp_state == KVM_MP_STATE_RUNNABLE &&
	    ioctl(v->fd, KVM_SET_MP_STATE, &halted))
		return;
	pthread_kill(pthread_self(), SIG_KICK);
	v->shot_done = ioctl(v->fd, KVM_RUN, 0) && errno == EINTR;
	if (was.mp_state == KVM_MP_STATE_RUNNABLE &&
	    ioctl(v->fd, KVM_SET_MP_STATE, &was))
		died(v, "KVM_SET_MP_STATE", errno, 0);
}

static int add_hyperv(struct vcpu *v)
{
	static const __u32 caps[] = {
		KVM_CAP_HYPERV_SYNIC2, KVM_CAP_HYPERV_ENFORCE_CPUID,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(caps); i++) {
		struct kvm_enable_cap cap = {
			.cap = caps[i],
			.args = { caps[i] == KVM_CAP_HYPERV_ENFORCE_CPUID },
		};

		if (ioctl(v->fd, KVM_ENABLE_CAP, &cap))
			return vmm_error(errno, "%s: capability %u of Hyper-V", v->vm->path,
					 caps[i]);
	}
	return 0;
}

int vcpu_open(struct vm *vm, int id)
{
	struct vcpu *v = &vm->vcpu[id];
	void *run;

	v->vm = vm;
	v->id = id;
	v->pause = true;
	v->fd = ioctl(vm->fd, KVM_CREATE_VCPU, id);
	if (v->fd < 0)
		return vmm_error(errno, "%s: KVM_CREATE_VCPU %d", vm->path, id);
	run = mmap(NULL, vm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return vmm_error(errno, "%s: mmap of vCPU %d", vm->path, id);
	v->run = run;
	return guest_needs(vm->shape.guest) & GN_HYPERV ? add_hyperv(v) : 0;
}

void vcpu_close(struct vcpu *v)
{
	if (v->has_thread) {
		pthread_mutex_lock(&v->vm->lock);
		v->quit = true;
		pthread_kill(v->thread, SIG_KICK);
		pthread_cond_broadcast(&v->vm->changed);
		pthread_mutex_unlock(&v->vm->lock);
		pthread_join(v->thread, NULL);
	}
	if (v->run)
		munmap(v->run, v->vm->run_size);
	if (v->fd >= 0)
		close(v->fd);
}

bool vcpu_handle_exit(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	char *data;
	__u32 i;

	if (v->vm->on_exit && !v->vm->on_exit(v))
		return false;
	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		data = (char *)run + run->io.data_offset;
		if (run->io.port == PORT_FAIL) {
			/* The guest wrote its reason into its page. */
			return false;
		}
		for (i = 0; i < run->io.count; i++, data += run->io.size) {
			bool in = run->io.direction == KVM_EXIT_IO_IN;

			if (v->vm->on_pio &&
			    v->vm->on_pio(v, run->io.port, in, data))
				continue;
			if (dev_pio(v, run->io.port, in, data, run->io.size))
				continue;
			died(v, "I/O at a port without a device", run->io.port, in);
			return false;
		}
		return true;
	case KVM_EXIT_MMIO:
		if (dev_mmio(v, run->mmio.phys_addr, !run->mmio.is_write,
			     run->mmio.data, run->mmio.len))
			return true;
		died(v, "MMIO where nothing is", run->mmio.phys_addr,
		     run->mmio.is_write);
		return false;
	case KVM_EXIT_HYPERV:
		if (run->hyperv.type == KVM_EXIT_HYPERV_HCALL)
			run->hyperv.u.hcall.result =
				guest_answer(run->hyperv.u.hcall.params[0]) & 0xffff;
		return true;
	case KVM_EXIT_IOAPIC_EOI:
	case KVM_EXIT_INTR:
		return true;
	case KVM_EXIT_DIRTY_RING_FULL:
		if (v->vm->on_ring_full)
			return v->vm->on_ring_full(v);
		/* Until the collector has reset some of it. */
		usleep(100);
		return true;
	case KVM_EXIT_SHUTDOWN:
		died(v, "triple fault", 0, 0);
		return false;
	case KVM_EXIT_FAIL_ENTRY:
		died(v, "the CPU refused to enter the guest",
		     run->fail_entry.hardware_entry_failure_reason,
		     run->fail_entry.cpu);
		return false;
	case KVM_EXIT_INTERNAL_ERROR:
		died(v, "KVM_EXIT_INTERNAL_ERROR", run->internal.suberror,
		     run->internal.ndata ? run->internal.data[0] : 0);
		return false;
	default:
		died(v, "an exit that this VMM does not know", run->exit_reason, 0);
		return false;
	}
}

/* Waits while paused; false when the thread has to end. */
static bool may_run(struct vcpu *v)
{
	struct vm *vm = v->vm;
	bool go;

	if (VMM_LOAD(v->pause) && v->entered && !v->ended)
		settle_timer(v);
	pthread_mutex_lock(&vm->lock);
	while ((v->pause || v->ended) && !v->quit) {
		/* Once: it wakes others that wait here, too. */
		if (!v->paused)
			pthread_cond_broadcast(&vm->changed);
		v->paused = true;
		pthread_cond_wait(&vm->changed, &vm->lock);
	}
	v->paused = false;
	v->entered = true;
	drain_kicks();
	go = !v->quit;
	pthread_mutex_unlock(&vm->lock);
	return go;
}

/*
 * I/O of the last exit is completed by entering KVM_RUN again, which may bring
 * the next exit of a string instruction. So a request to pause is honoured only
 * after EINTR: then nothing is left to complete. Nor is it when the ring is full,
 * and there KVM_RUN does not come to look at signals: without a collector, who
 * may be the one that asks for the pause, it stays full. False when the vCPU
 * ended.
 */
static bool run_until_kicked(struct vcpu *v)
{
	while (!ioctl(v->fd, KVM_RUN, 0)) {
		if (!vcpu_handle_exit(v))
			return false;
		if (v->vm->on_handled)
			v->vm->on_handled(v);
		if (v->run->exit_reason == KVM_EXIT_DIRTY_RING_FULL &&
		    (VMM_LOAD(v->pause) || VMM_LOAD(v->quit)))
			return true;
		/* Handled, for who has the VM next (KVMRELAY_VM_MARKED). */
		v->run->exit_reason = KVM_EXIT_INTR;
	}
	if (errno == EINTR || errno == EAGAIN)
		return true;
	if (errno == EIO && v->vm->on_gone)
		v->vm->on_gone(v);
	else
		died(v, strerror(errno), errno, v->run->exit_reason);
	return false;
}

/* False when the VM did not become this process's. */
static bool may_begin(struct vcpu *v)
{
	struct pollfd go = { .fd = v->vm->go, .events = POLLIN };
	bool quit;

	if (go.fd < 0)
		return true;
	while (poll(&go, 1, -1) < 0)
		;
	pthread_mutex_lock(&v->vm->lock);
	quit = v->quit;
	pthread_mutex_unlock(&v->vm->lock);
	return !quit;
}

static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;
	struct vm *vm = v->vm;

	if (vm->pin >= 0) {
		cpu_set_t set;

		CPU_ZERO(&set);
		CPU_SET(vm->pin, &set);
		/* Best effort: the CPU may be offline just now. */
		sched_setaffinity(0, sizeof(set), &set);
	}
	if (!may_begin(v))
		return NULL;
	if (mask_kick(v)) {
		died(v, "KVM_SET_SIGNAL_MASK", errno, 0);
		v->ended = true;
	}
	while (may_run(v)) {
		if (!run_until_kicked(v)) {
			pthread_mutex_lock(&vm->lock);
			v->ended = true;
			pthread_mutex_unlock(&vm->lock);
		}
	}
	return NULL;
}

int vm_resume(struct vm *vm)
{
	struct sigaction sa = { .sa_handler = on_kick };
	unsigned int i;
	int ret;

	sigaction(SIG_KICK, &sa, NULL);
	pthread_mutex_lock(&vm->lock);
	for (i = 0; i < vm->shape.cpus; i++)
		vm->vcpu[i].pause = false;
	pthread_cond_broadcast(&vm->changed);
	pthread_mutex_unlock(&vm->lock);
	for (i = 0; i < vm->shape.cpus; i++) {
		struct vcpu *v = &vm->vcpu[i];

		if (v->has_thread)
			continue;
		ret = pthread_create(&v->thread, NULL, vcpu_main, v);
		if (ret)
			return vmm_error(ret, "thread of vCPU %u", i);
		v->has_thread = true;
	}
	return 0;
}

int vm_pause(struct vm *vm)
{
	unsigned int i;

	pthread_mutex_lock(&vm->lock);
	for (i = 0; i < vm->shape.cpus; i++) {
		struct vcpu *v = &vm->vcpu[i];

		v->pause = true;
		if (v->has_thread)
			pthread_kill(v->thread, SIG_KICK);
	}
	for (i = 0; i < vm->shape.cpus; i++)
		while (vm->vcpu[i].has_thread && !vm->vcpu[i].paused)
			pthread_cond_wait(&vm->changed, &vm->lock);
	pthread_mutex_unlock(&vm->lock);
	return 0;
}
