// SPDX-License-Identifier: GPL-2.0-only
/* vmm-faults: irqfds that are signalled in the middle of a move. */
#include <linux/kvm_core.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <kselftest.h>
#include "../vfio/result.h"
#include "faults.h"

/*
 * Each vector of each vCPU has an irqfd of its own, and a signal finds its way
 * into the vCPU's IRR, once. No vCPU runs: what is in the IRR stays there.
 */
#define SIGNAL_CPUS	2
#define SIGNAL_FIRST	0x20	/* vector */
#define SIGNAL_VECTORS	200
#define SIGNALS		(SIGNAL_CPUS * SIGNAL_VECTORS)
#define SIGNAL_GSI	64
#define SIGNAL_ROUNDS	10

#define SIGNAL_STALL	40	/* ms, between stop and quiesce */

struct signals {
	int	fd[SIGNALS];
	int	vm;
	bool	moving;
	__u64	probed;		/* the VM's last ioctl that was not held up */
	int	meanwhile;	/* signals between the stop and the end of a move */
};

static bool signals_open(struct trial *t, struct signals *s)
{
	struct kvm_irq_routing *table;
	bool ok = true;
	int i;

	table = calloc(1, sizeof(*table) + SIGNALS * sizeof(table->entries[0]));
	if (!table)
		return false;
	table->nr = SIGNALS;
	for (i = 0; i < SIGNALS; i++) {
		table->entries[i].gsi = SIGNAL_GSI + i;
		table->entries[i].type = KVM_IRQ_ROUTING_MSI;
		table->entries[i].u.msi.address_lo =
			0xfee00000 | (i % SIGNAL_CPUS) << 12;
		table->entries[i].u.msi.data = SIGNAL_FIRST + i / SIGNAL_CPUS;
	}
	ok = !ioctl(t->vm->fd, KVM_SET_GSI_ROUTING, table);
	free(table);
	for (i = 0; i < SIGNALS; i++) {
		struct kvm_irqfd irqfd = { .gsi = SIGNAL_GSI + i };

		s->fd[i] = eventfd(0, EFD_CLOEXEC);
		irqfd.fd = s->fd[i];
		ok &= s->fd[i] >= 0 && !ioctl(t->vm->fd, KVM_IRQFD, &irqfd);
	}
	return ok;
}

/* The VM's ioctls wait from its stop to the end of the move. */
static void *prober(void *arg)
{
	struct signals *s = arg;

	while (VMM_LOAD(s->moving)) {
		ioctl(s->vm, KVM_CHECK_EXTENSION, KVM_CAP_IRQFD);
		VMM_STORE(s->probed, now_ns());
		sched_yield();
	}
	return NULL;
}

/* All are signalled, one after the other, about the time of the quiesce. */
static void *signaller(void *arg)
{
	struct signals *s = arg;
	__u64 since, one = 1;
	int i;

	while (VMM_LOAD(s->moving) &&
	       (!VMM_LOAD(s->probed) || now_ns() < VMM_LOAD(s->probed) + 25000000))
		usleep(100);
	since = VMM_LOAD(s->probed) + (SIGNAL_STALL - 2) * 1000000ull;
	for (i = 0; i < SIGNALS; i++) {
		while (now_ns() < since + i * 75000ull)
			sched_yield();
		if (write(s->fd[i], &one, sizeof(one)) != sizeof(one))
			return (void *)-1l;
		s->meanwhile += VMM_LOAD(s->moving);
	}
	return NULL;
}

/* Interrupts that have not arrived in any IRR. */
static int signals_missing(struct trial *t)
{
	struct kvm_lapic_state l;
	int cpu, v, n = 0;

	for (cpu = 0; cpu < SIGNAL_CPUS; cpu++) {
		if (ioctl(t->vm->vcpu[cpu].fd, KVM_GET_LAPIC, &l))
			return -1;
		for (v = SIGNAL_FIRST; v < SIGNAL_FIRST + SIGNAL_VECTORS; v++)
			n += !(l.regs[0x200 + v / 32 * 16 + v % 32 / 8] & 1 << v % 8);
	}
	return n;
}

/* Enabled, and with nothing pending. */
static bool signals_reset(struct trial *t)
{
	struct kvm_lapic_state l;
	bool ok = true;
	int cpu, i;

	for (cpu = 0; cpu < SIGNAL_CPUS; cpu++) {
		ok &= !ioctl(t->vm->vcpu[cpu].fd, KVM_GET_LAPIC, &l);
		for (i = 0; i < 8; i++)
			memset(l.regs + 0x200 + i * 16, 0, 4);
		l.regs[0xf0] = 0xff;
		l.regs[0xf1] |= 1;
		ok &= !ioctl(t->vm->vcpu[cpu].fd, KVM_SET_LAPIC, &l);
	}
	return ok && signals_missing(t) == SIGNALS;
}

void test_signals(void)
{
	struct trial *t = trial_begin("spin");
	struct signals s = { .vm = t->vm->fd };
	pthread_t probing, sending;
	int i, k, missing;
	void *failed;
	bool ok;

	ok = signals_open(t, &s);
	inject(KVM_CORE_STAGE_STOP, "stall_ms", SIGNAL_STALL);
	/* While it sleeps between quiesce and commit others run, on any host. */
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 3);
	for (i = 0; ok && i < SIGNAL_ROUNDS; i++) {
		struct kvm_core_move mv = {
			.deadline_us = 5000000, .timeout_ms = 20000,
		};
		int r;

		ok = signals_reset(t);
		s.moving = true;
		s.probed = 0;
		pthread_create(&probing, NULL, prober, &s);
		pthread_create(&sending, NULL, signaller, &s);
		r = move_fd(t->vm->fd, i & 1 ? faults_from : faults_to, &mv);
		VMM_STORE(s.moving, false);
		pthread_join(sending, &failed);
		pthread_join(probing, NULL);
		missing = signals_missing(t);
		for (k = 0; missing > 0 && k < 100; k++) {
			usleep(10000);
			missing = signals_missing(t);
		}
		if (r || failed || missing) {
			ksft_print_msg("round %d: error %d (%s), %d of %d signals lost\n",
				       i, r, mv.reason, missing, SIGNALS);
			ok = false;
		}
	}
	inject(KVM_CORE_STAGE_STOP, "stall_ms", 0);
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 0);
	ksft_print_msg("%d signals to a VM that stood still\n", s.meanwhile);
	ok &= s.meanwhile > SIGNALS;
	for (i = 0; i < SIGNALS; i++)
		close(s.fd[i]);
	trial_drop(t);
	result(ok, "a signal to an irqfd arrives, whenever it comes in a move\n");
}
