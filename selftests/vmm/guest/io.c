// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests about I/O that userspace completes: the echo device answers each value
 * with guest_answer() of it, the FIFO does so for each element of a string, the tally for how
 * often it was read.
 */
#include "guest.h"

void guest_pio(struct guest_cpu *c)
{
	static __u32 buf[GUEST_MAX_CPUS][2][FIFO_LEN];
	__u32 *out = buf[c->index][0], *in = buf[c->index][1];
	__u64 seed = 0, reads = 0, v, n, i;
	void *at;

	do {
		v = random64(&seed);
		io_out32(PORT_ECHO, (__u32)v);
		expect("IN, 4 bytes", (__u32)guest_answer((__u32)v), io_in32(PORT_ECHO));
		io_out16(PORT_ECHO, (__u16)v);
		expect("IN, 2 bytes", (__u16)guest_answer((__u16)v), io_in16(PORT_ECHO));
		io_out8(PORT_ECHO, (__u8)v);
		expect("IN, 1 byte", (__u8)guest_answer((__u8)v), io_in8(PORT_ECHO));

		expect("IN that counts", (__u32)guest_answer(++reads), io_in32(PORT_TALLY));

		for (i = 0; i < FIFO_LEN; i++) {
			out[i] = (__u32)random64(&seed);
			in[i] = 0;
		}
		n = FIFO_LEN;
		at = out;
		asm volatile("rep outsl" : "+S"(at), "+c"(n)
			     : "d"(PORT_FIFO) : "memory");
		expect("RCX after REP OUTS", 0, n);
		expect("RSI after REP OUTS", (__u64)(out + FIFO_LEN), (__u64)at);
		n = FIFO_LEN;
		at = in;
		asm volatile("rep insl" : "+D"(at), "+c"(n)
			     : "d"(PORT_FIFO) : "memory");
		expect("RCX after REP INS", 0, n);
		expect("RDI after REP INS", (__u64)(in + FIFO_LEN), (__u64)at);
		for (i = 0; i < FIFO_LEN; i++)
			expect("an element of REP INS",
			       (__u32)guest_answer(out[i]), in[i]);
		c->count[0] += 7 + 2 * FIFO_LEN;
	} while (step(c));
}

/*
 * Writes that nobody waits for, more than KVM has room for at times; pages are written in
 * between, each of them often.
 */
void guest_stream(struct guest_cpu *c)
{
	__u64 *from = (__u64 *)(GUEST_WS + c->index * shared()->ws_per_cpu);
	__u64 pages = shared()->ws_per_cpu >> 12, seed = 0, sent = 0, n;

	do {
		for (n = random64(&seed) % 256; n; n--) {
			STORE(*(__u64 *)GUEST_STREAM, sent);
			sent++;
			STORE(from[random64(&seed) % pages * 512], sent);
		}
		expect("writes that KVM has collected, all and in order", guest_answer(sent),
		       LOAD(*(__u64 *)GUEST_STREAM));
	} while (step(c));
}

void guest_mmio(struct guest_cpu *c)
{
	__u64 seed = 0, v, at = GUEST_MMIO + c->index * 64;
	__u32 four[4], i;
	void *from, *to;
	__u64 n;

	do {
		v = random64(&seed);
		STORE(*(__u64 *)at, v);
		expect("MMIO, 8 bytes", guest_answer(v), LOAD(*(__u64 *)at));
		STORE(*(__u32 *)at, (__u32)v);
		expect("MMIO, 4 bytes", (__u32)guest_answer((__u32)v),
		       LOAD(*(__u32 *)at));
		STORE(*(__u16 *)at, (__u16)v);
		expect("MMIO, 2 bytes", (__u16)guest_answer((__u16)v),
		       LOAD(*(__u16 *)at));
		STORE(*(__u8 *)at, (__u8)v);
		expect("MMIO, 1 byte", (__u8)guest_answer((__u8)v),
		       LOAD(*(__u8 *)at));
		/* A string read: each element is an exit of its own. */
		STORE(*(__u32 *)at, (__u32)v);
		from = (void *)at;
		to = four;
		n = 1;
		for (i = 0; i < 4; i++) {
			asm volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(n)
				     : : "memory");
			expect("MMIO, string", (__u32)guest_answer((__u32)v), four[i]);
			from = (void *)at;
			n = 1;
		}
		c->count[0] += 13;
	} while (step(c));
}
