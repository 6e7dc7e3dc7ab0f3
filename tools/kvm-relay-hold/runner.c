// SPDX-License-Identifier: GPL-2.0-only
/*
 * Adopts the VM and runs its vCPUs, a thread each. It handles no exit: a vCPU that comes to one
 * stays there. What kvm_run shows is then what the next VMM finds; where no exit waits it
 * shows KVM_EXIT_INTR or KVM_EXIT_UNKNOWN.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/kvm.h>

#include "hold.h"

#define SIG_STOP	SIGUSR1

/**
 * struct vcpu - one vCPU's thread
 * @index:	of the vCPU
 * @fd:		its descriptor
 * @run:	its kvm_run
 * @exit:	what the adoption said of its last exit, enum kvm_core_adopt_exit
 * @waits:	it has an exit that is not to be run over
 * @keeper:	socket to the keeper
 * @thread:	its thread
 */
struct vcpu {
	unsigned int index;
	int fd;
	struct kvm_run *run;
	__u32 exit;
	bool waits;
	int keeper;
	pthread_t thread;
};

static sig_atomic_t stopping;
static sem_t ended;
static __thread struct kvm_run *own_run;

/* A signal that comes before KVM_RUN ends it as well. */
static void on_stop(int sig)
{
	(void)sig;
	if (own_run)
		own_run->immediate_exit = 1;
}

static void send_msg(int keeper, struct runner_msg *m)
{
	send(keeper, m, sizeof(*m), MSG_NOSIGNAL);
}

static __printf(3, 4) int failed(int keeper, int error, const char *fmt, ...)
{
	struct runner_msg m = { .kind = MSG_FAILED, .error = error };
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m.text, sizeof(m.text), fmt, ap);
	va_end(ap);
	send_msg(keeper, &m);
	return EXIT_FAILED;
}

static void describe_exit(const struct vcpu *v, char *text, size_t size)
{
	const struct kvm_run *run = v->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		snprintf(text, size, "I/O port 0x%x, %s", run->io.port,
			 run->io.direction == KVM_EXIT_IO_IN ? "read" : "write");
		break;
	case KVM_EXIT_MMIO:
		snprintf(text, size, "MMIO at 0x%llx, %s", run->mmio.phys_addr,
			 run->mmio.is_write ? "write" : "read");
		break;
	case KVM_EXIT_DIRTY_RING_FULL:
		snprintf(text, size, "its dirty ring is full");
		break;
	case KVM_EXIT_SHUTDOWN:
		snprintf(text, size, "it has shut down");
		break;
	case KVM_EXIT_SYSTEM_EVENT:
		snprintf(text, size, "a system event, type %u", run->system_event.type);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		snprintf(text, size, "the CPU refuses to enter the guest, reason 0x%llx",
			 run->fail_entry.hardware_entry_failure_reason);
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		snprintf(text, size, "KVM has an internal error, suberror %u",
			 run->internal.suberror);
		break;
	case KVM_EXIT_INTR:
		snprintf(text, size, "a %s that its VMM has handled",
			 v->exit == KVM_CORE_ADOPT_EXIT_AGAIN ? "read" : "write");
		break;
	default:
		snprintf(text, size, "exit reason %u", run->exit_reason);
	}
}

static void wait_for_vmm(struct vcpu *v, int error)
{
	struct runner_msg m = { .kind = MSG_WAITS, .vcpu = v->index };

	if (error)
		snprintf(m.text, sizeof(m.text), "KVM_RUN: %s", strerror(error));
	else
		describe_exit(v, m.text, sizeof(m.text));
	send_msg(v->keeper, &m);
}

/* Not pause(): a signal that comes between a look at stopping and that would be missed. */
static void wait_for_end(void)
{
	sigset_t all, but;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &but);
	while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE))
		sigsuspend(&but);
}

static void run_until_exit(struct vcpu *v)
{
	while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE) && !v->waits) {
		/* Not INTR: that would say of a read that comes again that it was handled. */
		v->run->exit_reason = KVM_EXIT_UNKNOWN;
		if (!ioctl(v->fd, KVM_RUN, 0)) {
			v->waits = v->run->exit_reason != KVM_EXIT_INTR;
			continue;
		}
		if (errno == EIO)
			return;
		if (errno != EINTR && errno != EAGAIN) {
			wait_for_vmm(v, errno);
			wait_for_end();
			return;
		}
	}
	if (v->waits) {
		wait_for_vmm(v, 0);
		wait_for_end();
	}
}

static void *vcpu_main(void *arg)
{
	struct vcpu *v = arg;
	sigset_t set;

	own_run = v->run;
	sigemptyset(&set);
	sigaddset(&set, SIG_STOP);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
	run_until_exit(v);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	/* The next VMM's is not to leave KVM_RUN for that. */
	v->run->immediate_exit = 0;
	sem_post(&ended);
	return NULL;
}

/*
 * A read, which comes again, and whose VMM has handled it. Only the next one can take back what
 * that did to a device, and only while KVM has it still.
 */
static bool was_handled(const struct kvm_run *run, __u32 exit)
{
	return exit == KVM_CORE_ADOPT_EXIT_AGAIN && run->exit_reason == KVM_EXIT_INTR;
}

/* The former VMM's mask and its wish to leave KVM_RUN are in the VM still. */
static int prepare(const struct kvmrelay_vm *vm, struct vcpu *v, __u32 exit)
{
	v->run = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (v->run == MAP_FAILED)
		return failed(v->keeper, -errno, "mapping vCPU %u: %s", v->index, strerror(errno));
	if (ioctl(v->fd, KVM_SET_SIGNAL_MASK, NULL))
		return failed(v->keeper, -errno, "KVM_SET_SIGNAL_MASK of vCPU %u: %s", v->index,
			      strerror(errno));
	v->run->immediate_exit = 0;
	v->exit = exit;
	v->waits = exit == KVM_CORE_ADOPT_EXIT_WRITE || (vm->flags & KVMRELAY_VM_MARKED &&
		   (kvmrelay_exit_waits(v->run, exit) || was_handled(v->run, exit)));
	return 0;
}

static int adopt(const struct hold_options *o, struct kvmrelay_vm *vm, int keeper, __u32 *exits)
{
	struct runner_msg m = { .kind = MSG_ADOPTED, .move = o->move };
	struct kvmrelay_error why;
	int r;

	r = kvmrelay_vm_map(vm, &why);
	if (!r)
		r = kvmrelay_vm_adopt(vm, &m.move, exits, &why);
	if (r)
		return failed(keeper, r, "the VM is not adopted: %s", why.reason);
	send_msg(keeper, &m);
	return 0;
}

/* Behind all vCPUs' there is one of its own. */
static void *on_term(void *arg)
{
	struct vcpu *last = arg, *v = last - last->index;
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &sig);
	__atomic_store_n(&stopping, 1, __ATOMIC_RELEASE);
	for (; v < last; v++)
		pthread_kill(v->thread, SIG_STOP);
	return NULL;
}

static int run_all(struct vcpu *v, unsigned int n)
{
	unsigned int i;
	int r;

	for (i = 0; i < n; i++) {
		r = pthread_create(&v[i].thread, NULL, vcpu_main, &v[i]);
		if (r)
			return failed(v->keeper, -r, "thread of vCPU %u: %s", i, strerror(r));
	}
	v[n].index = n;
	r = pthread_create(&v[n].thread, NULL, on_term, &v[n]);
	if (r)
		return failed(v->keeper, -r, "thread: %s", strerror(r));
	/* Not joined: they may be sent a signal still. */
	for (i = 0; i < n; i++)
		while (sem_wait(&ended))
			;
	return stopping ? EXIT_STOPPED : RUNNER_GONE;
}

/**
 * run - adopt the VM and run it
 * @o: instance and limits
 * @vm: the VM
 * @keeper: socket for struct runner_msg
 *
 * Return: the process's exit status.
 */
int run(const struct hold_options *o, struct kvmrelay_vm *vm, int keeper)
{
	struct sigaction sa = { .sa_handler = on_stop };
	struct vcpu *v = calloc(vm->nr_vcpus + 1, sizeof(*v));
	__u32 *exits = calloc(vm->nr_vcpus, sizeof(*exits));
	unsigned int i;
	sigset_t set;

	if (!v || !exits)
		return failed(keeper, -ENOMEM, "%s", strerror(ENOMEM));
	sem_init(&ended, 0, 0);
	sigaction(SIG_STOP, &sa, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIG_STOP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (adopt(o, vm, keeper, exits))
		return EXIT_FAILED;
	for (i = 0; i < vm->nr_vcpus; i++) {
		v[i].index = i;
		v[i].fd = vm->vcpus[i];
		v[i].keeper = keeper;
		if (prepare(vm, &v[i], exits[i]))
			return EXIT_FAILED;
	}
	return run_all(v, vm->nr_vcpus);
}
