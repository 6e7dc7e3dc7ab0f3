// SPDX-License-Identifier: GPL-2.0-only
/* VMs of a few bytes of code. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_core.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>
#include <kselftest.h>
#include "mini.h"

const char *mini_names[2];

void mini_fail(struct mini *m, const char *what)
{
	if (m->ok)
		snprintf(m->why, sizeof(m->why), "%s: %s", what, strerror(errno));
	m->ok = false;
}

void mini_begin(struct mini *m)
{
	char path[64];

	memset(m, 0, sizeof(*m));
	m->ok = true;
	m->vcpu[0] = -1;
	m->vcpu[1] = -1;
	snprintf(path, sizeof(path), "/dev/%s", mini_names[0]);
	m->kvm = open(path, O_RDWR | O_CLOEXEC);
	m->run_size = ioctl(m->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	m->fd = ioctl(m->kvm, KVM_CREATE_VM, 0);
	m->mem = mmap(NULL, MINI_MEM, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (m->kvm < 0 || m->fd < 0 || m->mem == MAP_FAILED)
		ksft_exit_fail_msg("no VM on %s: %s\n", path, strerror(errno));
	/* VMX needs both for real mode without unrestricted guest. */
	ioctl(m->fd, KVM_SET_TSS_ADDR, 0xfffbd000);
}

void mini_ioctl(struct mini *m, int fd, unsigned long cmd, void *arg, const char *what)
{
	if (m->ok && ioctl(fd, cmd, arg) < 0)
		mini_fail(m, what);
}

void mini_cap(struct mini *m, int fd, __u32 cap, __u64 arg)
{
	struct kvm_enable_cap c = { .cap = cap, .args = { arg } };
	char what[40];

	snprintf(what, sizeof(what), "capability %u", cap);
	mini_ioctl(m, fd, KVM_ENABLE_CAP, &c, what);
}

void mini_slot(struct mini *m, __u32 slot, __u32 flags, __u64 gpa, __u64 size, void *at)
{
	struct kvm_userspace_memory_region r = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (unsigned long)at,
	};

	mini_ioctl(m, m->fd, KVM_SET_USER_MEMORY_REGION, &r, "memslot");
}

void mini_entry(struct mini *m, int n)
{
	struct kvm_regs regs = { .rip = MINI_CODE, .rflags = 0x202, .rsp = 0xff0 };
	struct kvm_mp_state mp = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct kvm_sregs s;

	mini_ioctl(m, m->vcpu[n], KVM_GET_SREGS, &s, "KVM_GET_SREGS");
	s.cs.base = 0;
	s.cs.selector = 0;
	mini_ioctl(m, m->vcpu[n], KVM_SET_SREGS, &s, "KVM_SET_SREGS");
	mini_ioctl(m, m->vcpu[n], KVM_SET_REGS, &regs, "KVM_SET_REGS");
	mini_ioctl(m, m->vcpu[n], KVM_SET_MP_STATE, &mp, "KVM_SET_MP_STATE");
}

void mini_cpuid(struct mini *m, int n, bool hyperv)
{
	struct kvm_cpuid2 *c;
	__u32 i;

	c = calloc(1, sizeof(*c) + 256 * sizeof(c->entries[0]));
	c->nent = 255;
	mini_ioctl(m, m->kvm, KVM_GET_SUPPORTED_CPUID, c, "KVM_GET_SUPPORTED_CPUID");
	for (i = 0; i < c->nent; i++) {
		struct kvm_cpuid_entry2 *e = &c->entries[i];

		if (e->function == 0x80000001)
			e->ecx |= 1 << 9;
		if (hyperv && e->function == 0x40000001)
			e->eax = 0x31237648;
	}
	mini_ioctl(m, m->vcpu[n], KVM_SET_CPUID2, c, "KVM_SET_CPUID2");
	free(c);
}

void mini_lapic(struct mini *m, int n)
{
	struct kvm_lapic_state l;

	mini_ioctl(m, m->vcpu[n], KVM_GET_LAPIC, &l, "KVM_GET_LAPIC");
	l.regs[0xf0] = 0xff;
	l.regs[0xf1] = 1;
	mini_ioctl(m, m->vcpu[n], KVM_SET_LAPIC, &l, "KVM_SET_LAPIC");
}

void mini_vcpu(struct mini *m, int n)
{
	void *run;

	m->vcpu[n] = ioctl(m->fd, KVM_CREATE_VCPU, n);
	if (m->vcpu[n] < 0) {
		mini_fail(m, "KVM_CREATE_VCPU");
		return;
	}
	run = mmap(NULL, m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		   m->vcpu[n], 0);
	if (run == MAP_FAILED)
		mini_fail(m, "mmap of the vCPU");
	else
		m->run[n] = run;
	mini_cpuid(m, n, false);
	mini_entry(m, n);
}

void mini_boot(struct mini *m, const void *code, size_t len)
{
	memcpy(m->mem + MINI_CODE, code, len);
	mini_slot(m, 0, 0, 0, MINI_MEM, m->mem);
	mini_vcpu(m, 0);
}

void mini_end(struct mini *m)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (m->run[i])
			munmap(m->run[i], m->run_size);
		if (m->vcpu[i] >= 0)
			close(m->vcpu[i]);
	}
	close(m->fd);
	close(m->kvm);
	munmap(m->mem, MINI_MEM);
}

void mini_move(struct mini *m, int to)
{
	struct kvm_core_move mv = { .deadline_us = 5000000, .timeout_ms = 60000 };

	snprintf(mv.instance, sizeof(mv.instance), "%s", mini_names[to]);
	if (m->ok && ioctl(m->fd, KVM_CORE_VM_MOVE, &mv)) {
		snprintf(m->why, sizeof(m->why), "move to %s: %.128s (%s)",
			 mini_names[to], mv.reason, strerror(errno));
		m->ok = false;
	}
}

void mini_complete(struct mini *m, int n)
{
	m->run[n]->immediate_exit = 1;
	ioctl(m->vcpu[n], KVM_RUN, 0);
	m->run[n]->immediate_exit = 0;
}

static void on_alarm(int sig)
{
	(void)sig;
}

/*
 * A guest that has halted without an exit goes on
 * behind its HLT when an interrupt of the host comes.
 */
void mini_run(struct mini *m, int n, __u32 reason, const char *what)
{
	struct itimerval on = { { 0, 50000 }, { 0, 50000 } }, off = { 0 };
	struct sigaction sa = { .sa_handler = on_alarm };
	int i, r = -1;

	sigaction(SIGALRM, &sa, NULL);
	setitimer(ITIMER_REAL, &on, NULL);
	for (i = 0; m->ok && r && i < 1000; i++) {
		r = ioctl(m->vcpu[n], KVM_RUN, 0);
		if (r && errno != EINTR)
			break;
	}
	setitimer(ITIMER_REAL, &off, NULL);
	if (!m->ok)
		return;
	if (r) {
		mini_fail(m, what);
	} else if (m->run[n]->exit_reason != reason) {
		snprintf(m->why, sizeof(m->why), "%s: exit %u, expected was %u", what,
			 m->run[n]->exit_reason, reason);
		m->ok = false;
	}
}

struct one_msr {
	struct kvm_msrs head;
	struct kvm_msr_entry e;
};

bool mini_msr_get(struct mini *m, __u32 msr, __u64 *value)
{
	struct one_msr one = { .head.nmsrs = 1, .e.index = msr };

	if (ioctl(m->vcpu[0], KVM_GET_MSRS, &one) != 1)
		return false;
	*value = one.e.data;
	return true;
}

bool mini_msr_set(struct mini *m, __u32 msr, __u64 value)
{
	struct one_msr one = { .head.nmsrs = 1, .e.index = msr, .e.data = value };

	return ioctl(m->vcpu[0], KVM_SET_MSRS, &one) == 1;
}
