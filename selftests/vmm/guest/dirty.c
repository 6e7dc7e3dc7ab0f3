// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest of vmm-ring: each store has a new value, so a page that was written
 * has other contents than before.
 */
#include "guest.h"

/* Longer than a vCPU is at an interrupt, on a slow host too: between two it can wait. */
#define TICK_NS		10000000

static void on_ipi(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();

	(void)f;
	STORE(c->count[DIRTY_IPIS], c->count[DIRTY_IPIS] + 1);
	apic_eoi();
}

static void on_nmi(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();

	(void)f;
	STORE(c->count[DIRTY_NMIS], c->count[DIRTY_NMIS] + 1);
}

static void on_tick(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();

	(void)f;
	STORE(c->count[DIRTY_TICKS], c->count[DIRTY_TICKS] + 1);
	apic_eoi();
}

/* A nanosecond of the LAPIC's timer is one of KVM's. */
static void start_timer(void)
{
	apic_write(APIC_TDCR, 0xb);
	apic_write(APIC_LVTT, LVT_PERIODIC | VEC_TIMER);
	apic_write(APIC_TMICT, TICK_NS);
}

static void send(struct guest_cpu *c)
{
	struct guest_cpu *to = cpu_page(0);
	__u64 taken = LOAD(to->count[DIRTY_IPIS]);

	apic_ipi(0, 0x4000 | VEC_IPI);
	while (LOAD(to->count[DIRTY_IPIS]) == taken &&
	       DIRTY_OP(LOAD(shared()->bench_op), c->index) == DIRTY_SEND)
		pause();
}

void guest_dirty(struct guest_cpu *c)
{
	__u64 pages = shared()->ws_per_cpu >> 12;
	__u64 *ws = (__u64 *)(GUEST_WS + c->index * shared()->ws_per_cpu);
	__u64 n = 0, page = 0, i;
	int ticks = 0;

	on_vector(VEC_IPI, on_ipi);
	on_vector(VEC_TIMER, on_tick);
	on_vector(2, on_nmi);
	irqs_on();
	do {
		switch (DIRTY_OP(LOAD(shared()->bench_op), c->index)) {
		case DIRTY_TIMER:
			if (!ticks++)
				start_timer();
			page = random64(&c->count[DIRTY_SEED]) % pages;
			break;
		case DIRTY_RANDOM:
			page = random64(&c->count[DIRTY_SEED]) % pages;
			break;
		case DIRTY_SEQUENTIAL:
			page = page + 1 < pages ? page + 1 : 0;
			break;
		case DIRTY_SPIN:
			for (i = 0; i < 1000000; i++)
				asm volatile("" : : : "memory");
			c->count[DIRTY_ROUNDS]++;
			continue;
		case DIRTY_SEND:
			send(c);
			continue;
		default:
			for (i = 0; i < 100; i++)
				pause();
			continue;
		}
		n++;
		STORE(ws[page * 512 + n % 512], n);
		c->count[DIRTY_STORES] = n;
	} while (step(c));
}
