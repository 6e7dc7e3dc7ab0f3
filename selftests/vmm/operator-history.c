// SPDX-License-Identifier: GPL-2.0-only
/* Of vmm-operator: what is remembered of handoffs, and told to udev. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_core.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "mini.h"
#include "operator.h"
#include "vmm.h"

#define OTHERS	(KVM_CORE_HANDOFF_OWN | KVM_CORE_HANDOFF_ADOPT)

/* What kvm-core remembers of a VM: the operator's handoffs, and its VMM's. */
static void remembered(int control, __u32 vm, unsigned int *operators, unsigned int *own)
{
	struct kvm_core_handoff h = { .seq = 0 };

	*operators = 0;
	*own = 0;
	for (; !ioctl(control, KVM_CORE_HISTORY, &h); h.seq++)
		if (h.vm == vm)
			(*(h.flags & OTHERS ? own : operators))++;
}

static __u64 failures(int control, __u32 stage, __u32 error, __u32 flags)
{
	struct kvm_core_failures f = { .index = 0 };

	for (; !ioctl(control, KVM_CORE_FAILURES, &f); f.index++)
		if (f.stage == stage && f.error == error && f.flags == flags)
			return f.count;
	return 0;
}

/* Those that were sent since: of an operator's handoffs, and of others. */
static unsigned int uevents(int fd, unsigned int *own)
{
	static const char * const asked[] = {
		"KVM_RELAY_ASKED=operator", "KVM_RELAY_ASKED=vmm", "KVM_RELAY_ASKED=adopter",
	};
	unsigned int found[3] = { 0 };

	while (uevent_next(fd, asked, 3, found))
		;
	*own = found[1] + found[2];
	return found[0];
}

/* Another process tries to adopt the VM so often, in vain. */
static bool adopted(const struct mini *m, int times)
{
	struct kvm_core_adopt_slot slot = {
		.size = MINI_MEM, .userspace_addr = (unsigned long)m->mem,
	};
	struct kvm_core_adopt a = {
		.argsz = sizeof(a), .nr_vcpus = 1, .nr_slots = 1,
		.vcpus = (unsigned long)&m->vcpu[0], .slots = (unsigned long)&slot,
	};
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		while (times--)
			if (!ioctl(m->fd, KVM_CORE_VM_ADOPT, &a) || errno != EIO)
				_exit(1);
		_exit(0);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status;
}

/**
 * test_history - a VMM asks for more handoffs in a row than are remembered of all VMMs
 * @from: the instance that its VM is on
 * @to: another one
 *
 * kselftest.h counts in each file for itself, so the result is the caller's to print.
 *
 * Return: is what the operator asked for remembered and told, and the rest bounded?
 */
bool test_history(const char *from, const char *to)
{
	static const __u8 code[] = { 0xf4 };	/* hlt */
	enum { TIMES = 300, ADOPTED = 60, KEPT = 256, EVENTS = 20 };
	int control = open("/dev/kvm-core", O_RDWR | O_CLOEXEC), nl = uevents_open();
	struct kvm_core_stats before = { .argsz = sizeof(before) }, after = before;
	struct kvm_core_move mv = { .deadline_us = 20000000, .timeout_ms = 60000 };
	unsigned int operators, own, told, told_own;
	__u64 failed, start;
	struct mini m;
	bool ok;
	int i;

	mini_begin(&m);
	mini_boot(&m, code, sizeof(code));
	mv.fd = m.fd;
	snprintf(mv.instance, sizeof(mv.instance), "%s", to);
	ok = m.ok && nl >= 0 && !ioctl(control, KVM_CORE_MOVE, &mv);
	ok &= !ioctl(control, KVM_CORE_STATS, &before);
	failed = failures(control, KVM_CORE_STAGE_RECORD, EIO, KVM_CORE_HANDOFF_OWN);
	ok &= inject_set("record", "error", EIO);
	start = now_ns();
	for (i = 0; i < TIMES; i++) {
		struct kvm_core_move self = { 0 };

		snprintf(self.instance, sizeof(self.instance), "%s", from);
		ok &= ioctl(m.fd, KVM_CORE_VM_MOVE, &self) && errno == EIO;
	}
	ok &= adopted(&m, ADOPTED);
	ok &= inject_set("record", "error", 0);
	told = uevents(nl, &told_own);
	remembered(control, mv.vm, &operators, &own);
	ok &= !ioctl(control, KVM_CORE_STATS, &after);
	failed = failures(control, KVM_CORE_STAGE_RECORD, EIO, KVM_CORE_HANDOFF_OWN) - failed;
	ok &= operators == 1 && own == KEPT && failed == TIMES + ADOPTED;
	ok &= after.failed_own - before.failed_own == TIMES + ADOPTED;
	ok &= after.moved == before.moved;
	ok &= told == 1 && told_own >= 1 &&
	      told_own <= EVENTS * ((now_ns() - start) / 5000000000ull + 2);
	if (!ok)
		ksft_print_msg("remembered %u and %u, failed %llu, told of %u and %u\n", operators,
			       own, failed, told, told_own);
	before.argsz--;
	ok &= ioctl(control, KVM_CORE_STATS, &before) && errno == EINVAL;
	ok &= ioctl(control, KVM_CORE_STATS, 8) && errno == EFAULT;
	ok &= ioctl(control, KVM_CORE_HISTORY, 8) && errno == EFAULT;
	ok &= ioctl(control, KVM_CORE_FAILURES, 8) && errno == EFAULT;
	mini_end(&m);
	close(nl);
	close(control);
	return ok;
}
