// SPDX-License-Identifier: GPL-2.0-only
/* Guests that need the CPU and memory alone: spin, regs, mem. */
#include "guest.h"

/* start.S knows this layout. */
struct regs_frame {
	__u64	scratch[256];
	__u64	in[15];
	__u64	flags_in;
	__u64	spins;
	__u64	out[15];
	__u64	flags_out;
	__u64	rsp_saved;
	__u64	rsp_out;
};

void guest_spin(struct guest_cpu *c)
{
	__u64 n = 0;

	do {
		__u64 next = spin_round(n, 4096);

		expect("a register lost its count", n + 4096, next);
		n = next;
		STORE(c->count[0], c->count[0] + 4096);
		expect("register and memory disagree", n, c->count[0]);
	} while (step(c));
}

void guest_regs(struct guest_cpu *c)
{
	static struct regs_frame frames[GUEST_MAX_CPUS];
	static const char * const lost[15] = {
		"RAX lost", "RBX lost", "RCX lost", "RDX lost", "RSI lost",
		"RDI lost", "RBP lost", "R8 lost", "R9 lost", "R10 lost",
		"R11 lost", "R12 lost", "R13 lost", "R14 lost", "R15 lost",
	};
	struct regs_frame *f = &frames[c->index];
	__u64 seed = 0;
	int i;

	do {
		for (i = 0; i < 15; i++)
			f->in[i] = random64(&seed);
		/* CF PF AF ZF SF DF OF and ID at random; IF and bit 1 are set. */
		f->flags_in = (random64(&seed) & 0x200cd5) | 0x202;
		f->spins = 20000;
		regs_round(f->in);
		for (i = 0; i < 15; i++)
			expect(lost[i], f->in[i], f->out[i]);
		expect("RSP lost", (__u64)f->in, f->rsp_out);
		expect("RFLAGS lost", f->flags_in, f->flags_out);
	} while (step(c));
}

static __u64 pattern(__u64 *at, __u64 generation)
{
	return guest_answer((__u64)at ^ generation << 40);
}

void guest_mem(struct guest_cpu *c)
{
	__u64 bytes = shared()->ws_per_cpu;
	__u64 *from = (__u64 *)(GUEST_WS + c->index * bytes);
	__u64 words = bytes / 8, generation = 0, at = 0, i;

	/* 64 KiB are one step: verified but for the first time, written anew. */
	do {
		__u64 *p = from + at;

		for (i = 0; i < 8192; i++) {
			if (generation)
				expect("a word of memory changed",
				       pattern(p + i, generation), LOAD(p[i]));
			p[i] = pattern(p + i, generation + 1);
		}
		at += 8192;
		if (at >= words) {
			at = 0;
			generation++;
		}
		if (generation)
			c->count[0] += 8192;
	} while (step(c));
}
