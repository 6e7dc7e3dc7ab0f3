// SPDX-License-Identifier: GPL-2.0-only
/* See posted.h. */
#include <errno.h>
#include <linux/kvm_core.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "posted.h"

/* What VMMs are told, each by the coordinator or by the next one. */
#define GO		'G'
#define GIVE_BACK	'B'
#define STOP		'S'
#define GO_ON		'O'

/*
 * Has vCPU 0 read all of the guest's memory, so that none of its pages is to be mapped
 * while an interrupt is delivered: Bochs' virtual APIC loses the vector then. In the
 * last page, which the guest does not use, a loop; its end is an exit.
 */
static bool map_ahead(struct vm *vm)
{
	static const __u8 code[] = {
		0x8a, 0x06,					/* 1: mov (%rsi),%al */
		0x48, 0x81, 0xc6, 0x00, 0x10, 0x00, 0x00,	/* add $4096,%rsi */
		0x48, 0x39, 0xfe,				/* cmp %rdi,%rsi */
		0x72, 0xf2,					/* jb 1b */
		0xe6, PORT_NOP,					/* out %al,$PORT_NOP */
	};
	__u64 at = vm->shape.mem - 4096;
	struct kvm_regs regs = { .rip = at, .rsi = 0, .rdi = at, .rflags = 2 };
	struct kvm_mp_state runs = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_vcpu_events none = { 0 };
	struct kvm_run *run = vm->vcpu[0].run;
	int fd = vm->vcpu[0].fd;

	memcpy(vm->mem + at, code, sizeof(code));
	if (ioctl(fd, KVM_SET_VCPU_EVENTS, &none) || ioctl(fd, KVM_SET_MP_STATE, &runs) ||
	    ioctl(fd, KVM_SET_REGS, &regs) || ioctl(fd, KVM_RUN) ||
	    run->exit_reason != KVM_EXIT_IO || run->io.port != PORT_NOP)
		return false;
	run->immediate_exit = 1;
	if (!ioctl(fd, KVM_RUN) || errno != EINTR)
		return false;
	run->immediate_exit = 0;
	return true;
}

int posted_restore(struct vm *vm, const struct vm_state *st)
{
	return vm_restore(vm, st) || !map_ahead(vm) || vm_restore(vm, st) ? -EIO : 0;
}

int posted_take(struct vm *to, const int *from)
{
	unsigned int i;
	int r = 0;

	for (i = 0; !r && i < to->shape.cpus; i++)
		r = ioctl(to->vcpu[i].fd, KVM_CORE_VCPU_TAKE_PI, from[i]) ? errno : 0;
	return r;
}

bool posted_refused(int taker, int fd, int error)
{
	return ioctl(taker, KVM_CORE_VCPU_TAKE_PI, fd) && errno == error;
}

/* In the processes */

static void __noreturn ends(const char *why)
{
	vmm_error(0, "VMM %d: %s", getpid(), why);
	_exit(1);
}

static void say(int sock, char c)
{
	if (send(sock, &c, 1, MSG_NOSIGNAL) != 1)
		ends("nobody hears");
}

/* 0 when nobody is there any more */
static char hear(int sock)
{
	char c;

	return recv(sock, &c, 1, 0) == 1 ? c : 0;
}

static void send_vcpus(int sock, const struct vm *vm)
{
	unsigned int i;

	for (i = 0; i < vm->shape.cpus; i++)
		if (wire_send_fd(sock, vm->vcpu[i].fd))
			ends("the vCPUs are not sent");
}

static void recv_vcpus(int sock, unsigned int cpus, int *fd)
{
	unsigned int i;

	for (i = 0; i < cpus; i++) {
		fd[i] = wire_recv_fd(sock);
		if (fd[i] < 0)
			ends("the vCPUs do not come");
	}
}

static void close_vcpus(unsigned int cpus, const int *fd)
{
	unsigned int i;

	for (i = 0; i < cpus; i++)
		close(fd[i]);
}

/* To the next VMM; returns if that does not take the VM. */
static void give(struct vm *vm, int ctl, int to)
{
	struct vm_state st = { 0 };
	int next[GUEST_MAX_CPUS];
	char told;

	if (wire_send_shape(to, &vm->shape, &vm->fds))
		ends("the VM is not sent");
	send_vcpus(to, vm);
	if (hear(to) != STOP || vm_pause(vm) || vm_save(vm, &st) ||
	    wire_send_state(to, vm, &st))
		ends("the VM does not stop");
	state_free(&st);
	told = hear(to);
	if (told == GIVE_BACK) {
		recv_vcpus(to, vm->shape.cpus, next);
		if (posted_take(vm, next))
			ends("the descriptors do not come back");
		close_vcpus(vm->shape.cpus, next);
	} else if (told != GO_ON) {
		/* The next one is gone, and with it what was posted. */
		_exit(1);
	}
	close(to);
	if (vm_resume(vm))
		ends("the VM does not go on");
	say(ctl, POSTED_RUNS);
}

static struct vm *make_first(const char *path, const struct watch *w, int ctl)
{
	struct vm *vm = vm_create(path, &w->shape, &w->fds, w->report);

	if (!vm || vm_boot(vm) || vm_assign_irqfds(vm))
		ends("no VM");
	say(ctl, POSTED_MADE);
	if (hear(ctl) != GO || vm_resume(vm))
		ends("the VM does not start");
	say(ctl, POSTED_RUNS);
	return vm;
}

/* The VM is not to be run by this process: its own goes with it. */
static void __noreturn decline(struct vm *vm, int from, bool taken)
{
	say(from, taken ? GIVE_BACK : GO_ON);
	if (taken)
		send_vcpus(from, vm);
	pause();
	_exit(1);
}

static struct vm *make_next(const char *path, const struct watch *w, int ctl, int from,
			    bool refused)
{
	struct vm_state st = { 0 };
	int old[GUEST_MAX_CPUS], r;
	struct vm_shape shape;
	struct vm_fds fds;
	struct vm *vm;
	char told;

	/* Only what came over the socket, nothing inherited. */
	if (wire_recv_shape(from, &shape, &fds))
		ends("no VM comes");
	recv_vcpus(from, shape.cpus, old);
	vm = vm_create(path, &shape, &fds, w->report);
	if (!vm)
		ends("no VM");
	if (!posted_refused(vm->vcpu[0].fd, old[0], EBUSY))
		ends("a vCPU that runs gave its descriptor");
	say(from, STOP);
	if (wire_recv_state(from, vm, &st))
		ends("the state does not come");
	/* A KVM that does not post has not all of the VMX MSRs, either. */
	if (!refused && posted_restore(vm, &st))
		ends("the state is not taken");
	state_free(&st);
	if (!posted_refused(old[0], vm->vcpu[0].fd, EIO))
		ends("another process's vCPU took a descriptor");
	r = posted_take(vm, old);
	if (r && r != EOPNOTSUPP)
		ends(strerror(r));
	say(ctl, r ? POSTED_NOT : POSTED_TAKEN);
	told = hear(ctl);
	if (told == GIVE_BACK)
		decline(vm, from, !r);
	if (told != GO || r || refused || vm_assign_irqfds(vm) || vm_resume(vm))
		ends("the VM does not run");
	close_vcpus(shape.cpus, old);
	close(from);
	say(ctl, POSTED_RUNS);
	return vm;
}

static void __noreturn vmm(const char *path, const struct watch *w, int ctl, int from,
			   bool refused)
{
	struct vm *vm;
	int to;

	vm = from < 0 ? make_first(path, w, ctl) : make_next(path, w, ctl, from, refused);

	for (;;) {
		to = wire_recv_fd(ctl);
		if (to < 0)
			ends("nobody wants the VM");
		give(vm, ctl, to);
	}
}

/* In the coordinator */

int posted_start(struct posted_vmm *v, const char *path, const struct watch *w,
		 struct posted_vmm *from, bool refused)
{
	int ctl[2], link[2] = { -1, -1 };

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ctl) ||
	    (from && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link)))
		return vmm_error(errno, "socketpair");
	fflush(stdout);
	v->pid = fork();
	if (v->pid < 0)
		return vmm_error(errno, "fork");
	if (!v->pid) {
		/* Held open here, they would hide the end of another process. */
		close(ctl[0]);
		if (from) {
			close(from->ctl);
			close(link[0]);
		}
		vmm(path, w, ctl[1], link[1], refused);
	}
	close(ctl[1]);
	v->ctl = ctl[0];
	if (from) {
		close(link[1]);
		wire_send_fd(from->ctl, link[0]);
		close(link[0]);
	}
	return 0;
}

enum posted_answer posted_answer(struct posted_vmm *v, unsigned int seconds)
{
	struct pollfd p = { .fd = v->ctl, .events = POLLIN };

	return poll(&p, 1, seconds * 1000) == 1 ? hear(v->ctl) : POSTED_GONE;
}

/* One that is gone does not hear it, and does not answer. */
static void tell(struct posted_vmm *v, char c)
{
	send(v->ctl, &c, 1, MSG_NOSIGNAL);
}

void posted_go(struct posted_vmm *v)
{
	tell(v, GO);
}

void posted_give_back(struct posted_vmm *v)
{
	tell(v, GIVE_BACK);
}

void posted_kill(struct posted_vmm *v)
{
	kill(v->pid, SIGKILL);
	waitpid(v->pid, NULL, 0);
	close(v->ctl);
}
