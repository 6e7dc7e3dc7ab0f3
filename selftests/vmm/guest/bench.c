// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest of vmm-bench: asks by PORT_BENCH what to repeat, does it, asks
 * again. What the host measures lies between two of these exits.
 */
#include "guest.h"

static void on_bench_irq(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();

	(void)f;
	apic_eoi();
	STORE(c->count[0], c->count[0] + 1);
}

/*
 * Notes the last TSC before and the first after the VMM changed the epoch,
 * which it does while all vCPUs are stopped for a pass. Of a move, which the
 * VMM is no part of, it sees a gap.
 */
static void watch_epoch(struct guest_cpu *c, __u32 until)
{
	__u64 last = read_tsc(), now;
	__u32 epoch;

	while (LOAD(shared()->bench_op) == until) {
		/* In this order: the TSC is read after the epoch is seen. */
		epoch = LOAD(shared()->epoch);
		now = read_tsc();
		if (epoch != c->epoch) {
			c->gap_from = last;
			c->gap_to = now;
			STORE(c->epoch, epoch);
		}
		if (now - last > GAP_MIN) {
			c->gap[c->gaps % ARRAY_SIZE(c->gap)].from = last;
			c->gap[c->gaps % ARRAY_SIZE(c->gap)].to = now;
			STORE(c->gaps, c->gaps + 1);
		}
		last = now;
		STORE(c->progress, c->progress + 1);
	}
}

void guest_bench(struct guest_cpu *c)
{
	__u64 n, i, next = 0, seen;
	__u32 r[4];

	on_vector(VEC_IRQFD, on_bench_irq);
	irqs_on();
	do {
		__u32 op = c->index ? BENCH_IDLE : io_in32(PORT_BENCH);

		n = LOAD(shared()->bench_n);
		switch (op) {
		case BENCH_IDLE:
			watch_epoch(c, BENCH_IDLE);
			break;
		case BENCH_CPUID:
			for (i = 0; i < n; i++)
				cpuid(0, 0, r);
			break;
		case BENCH_PIO:
			for (i = 0; i < n; i++)
				io_out8(PORT_NOP, 0);
			break;
		case BENCH_TOUCH:
			/* A page that was never touched, each time. */
			for (i = 0; i < n; i++)
				STORE(*(__u64 *)(GUEST_WS + (next++ << 12)), i);
			break;
		case BENCH_AGAIN:
			for (i = 0; i < n; i++)
				STORE(*(__u64 *)(GUEST_WS + (i << 12)), i);
			break;
		case BENCH_IRQ:
			/* The VMM signals while this OUT is in userspace. */
			for (i = 0; i < n; i++) {
				seen = LOAD(c->count[0]);
				io_out32(PORT_ECHO, 0);
				while (LOAD(c->count[0]) == seen)
					pause();
			}
			break;
		default:
			for (i = 0; i < n; i++)
				asm volatile("" : : : "memory");
			break;
		}
	} while (step(c));
}
