// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that works with an NVMe controller that was started for it: writes a block,
 * reads it back, compares. One command at a time, so that each has an interrupt that
 * nothing merges. count[0] interrupts, count[1] commands.
 */
#include "guest.h"
#include "../../vfio/nvme.h"

#define DISK_BLOCKS	64

/* Of queue 1 */
static __u32 tail, head, phase = 1;

static struct nvme_memory *memory(void)
{
	return (struct nvme_memory *)GUEST_NVME;
}

static void doorbell(unsigned int n, __u32 value)
{
	__u64 at = GUEST_NVME_BAR + NVME_DOORBELLS + 4 * n;

	__atomic_store_n((__u32 *)at, value, __ATOMIC_RELEASE);
}

static void on_done(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();

	(void)f;
	STORE(c->count[0], c->count[0] + 1);
	apic_eoi();
}

static void await_irq(struct guest_cpu *c, __u64 n)
{
	irqs_off();
	while (LOAD(c->count[0]) < n)
		halt_until_irq();
	irqs_on();
	expect("interrupts of the device", n, LOAD(c->count[0]));
}

static void command(struct guest_cpu *c, struct nvme_command cmd)
{
	struct nvme_completion *done = &memory()->cq[1][head];
	__u64 n = c->count[1] + 1;

	STORE(c->count[1], n);
	cmd.op |= tail << 16;
	memory()->sq[1][tail] = cmd;
	tail = (tail + 1) % NVME_ENTRIES;
	/* The command before the doorbell. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	doorbell(2, tail);
	await_irq(c, n);
	expect("completion: status and phase", phase, LOAD(done->status));
	expect("completion: number", cmd.op >> 16, done->id);
	head = (head + 1) % NVME_ENTRIES;
	phase ^= !head;
	doorbell(3, head);
}

void guest_nvme(struct guest_cpu *c)
{
	__u64 *out = (__u64 *)memory()->data[0], *in = (__u64 *)memory()->data[1];
	__u64 random = 0, seed;
	unsigned int i, block;

	on_vector(VEC_IRQFD, on_done);
	irqs_on();
	do {
		seed = random64(&random);
		block = seed % DISK_BLOCKS;
		for (i = 0; i < NVME_BLOCK / sizeof(*out); i++)
			out[i] = guest_answer(seed + i);
		command(c, nvme_transfer(NVME_WRITE, (unsigned long)out, block));
		for (i = 0; i < NVME_BLOCK / sizeof(*in); i++)
			in[i] = 0;
		command(c, nvme_transfer(NVME_READ, (unsigned long)in, block));
		for (i = 0; i < NVME_BLOCK / sizeof(*in); i++)
			expect("a block of the disk", guest_answer(seed + i), in[i]);
	} while (step(c));
}
