// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that works with QEMU's edu device: has it copy memory in and out again by DMA, and
 * compute a factorial, each of which ends with an interrupt that has to be the only one.
 * count[0] interrupts, count[1] commands.
 */
#include "guest.h"

#define EDU_LIVE	0x04	/* reads as the complement of what was written */
#define EDU_FACTORIAL	0x08
#define EDU_STATUS	0x20
#define EDU_PENDING	0x24
#define EDU_ACK		0x64
#define EDU_DMA_FROM	0x80
#define EDU_DMA_TO	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98

#define STATUS_IRQ	0x80
#define PENDING_FACTORIAL 0x001
#define PENDING_DMA	0x100
#define DMA_START	1
#define DMA_OUT		2	/* of the device */
#define DMA_IRQ		4

#define EDU_MEMORY	0x40000
#define WORDS		512

static __u32 read32(__u32 at)
{
	return LOAD(*(__u32 *)(unsigned long)(GUEST_EDU_BAR + at));
}

static void write32(__u32 at, __u32 value)
{
	STORE(*(__u32 *)(unsigned long)(GUEST_EDU_BAR + at), value);
}

static void write64(__u32 at, __u64 value)
{
	STORE(*(__u64 *)(unsigned long)(GUEST_EDU_BAR + at), value);
}

static void on_edu(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();

	(void)f;
	STORE(c->count[0], c->count[0] + 1);
	apic_eoi();
}

/* Of a command that was given: its interrupt, and none but it. */
static void await(struct guest_cpu *c, __u32 pending)
{
	__u64 n = c->count[1];

	irqs_off();
	while (LOAD(c->count[0]) < n)
		halt_until_irq();
	irqs_on();
	expect("interrupts of the device", n, LOAD(c->count[0]));
	expect("what the device has to tell", pending, read32(EDU_PENDING));
	write32(EDU_ACK, pending);
	expect("that it was told", 0, read32(EDU_PENDING));
}

static void copy(struct guest_cpu *c, __u64 from, __u64 to, __u32 how)
{
	STORE(c->count[1], c->count[1] + 1);
	write64(EDU_DMA_FROM, from);
	write64(EDU_DMA_TO, to);
	write64(EDU_DMA_COUNT, WORDS * sizeof(__u64));
	write64(EDU_DMA_CMD, how | DMA_START | DMA_IRQ);
	await(c, PENDING_DMA);
}

static void compute(struct guest_cpu *c, __u32 of)
{
	__u32 i, want = 1;

	for (i = 2; i <= of; i++)
		want *= i;
	STORE(c->count[1], c->count[1] + 1);
	write32(EDU_STATUS, STATUS_IRQ);
	write32(EDU_FACTORIAL, of);
	await(c, PENDING_FACTORIAL);
	expect("a factorial", want, read32(EDU_FACTORIAL));
}

void guest_edu(struct guest_cpu *c)
{
	__u64 *out = (__u64 *)GUEST_EDU, *in = out + WORDS;
	__u64 random = 0, seed;
	unsigned int i;

	on_vector(VEC_IRQFD, on_edu);
	irqs_on();
	do {
		seed = random64(&random);
		for (i = 0; i < WORDS; i++) {
			out[i] = guest_answer(seed + i);
			in[i] = 0;
		}
		copy(c, (unsigned long)out, EDU_MEMORY, 0);
		write32(EDU_LIVE, (__u32)seed);
		expect("the complement", ~(__u32)seed, read32(EDU_LIVE));
		copy(c, EDU_MEMORY, (unsigned long)in, DMA_OUT);
		for (i = 0; i < WORDS; i++)
			expect("what the device copied", guest_answer(seed + i), in[i]);
		compute(c, seed % 12);
	} while (step(c));
}
