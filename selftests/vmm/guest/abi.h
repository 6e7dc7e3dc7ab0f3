/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the guests and the VMM agree on: addresses, ports, shared pages and the
 * list of guests. Included by both sides.
 */
#ifndef VMM_GUEST_ABI_H
#define VMM_GUEST_ABI_H

#define GUEST_MAX_CPUS		8

/* Guest physical memory. Everything below GUEST_WS belongs to the image. */
#define GUEST_SHARED		0x00010000
#define GUEST_CPU(n)		(0x00020000 + (n) * 0x1000)
/* 256 counters of 64 bits: how often the posted guest took each vector. */
#define GUEST_ACKS(n)		(0x00030000 + (n) * 0x1000)
#define GUEST_IMAGE		0x00100000
#define GUEST_STACK_TOP(n)	(0x00410000 + (n) * 0x10000)
#define GUEST_WS		0x00800000
#define GUEST_MIN_MEM		0x02000000
#define GUEST_MMIO		0xd0000000
#define GUEST_MMIO_ACK(n)	(0xd0001000 + (n) * 8)
/* Takes numbers, each one more than the last, and answers with how many there were. */
#define GUEST_STREAM		0xd0002000

/* Of the nvme guest: its queues and blocks, and the registers of its controller */
#define GUEST_NVME		0x00c00000
#define GUEST_NVME_BAR		0xe0000000
/* Of the edu guest: what its device copies, and the device's registers */
#define GUEST_EDU		0x00c00000
#define GUEST_EDU_BAR		0xe0000000
/* Of the e1000e guest: its queues and packets, and the NIC's registers */
#define GUEST_E1000E		0x00c00000
#define GUEST_E1000E_BAR	0xe0000000

/* Ports of the VMM's devices. PORT_NOP fits an 8 bit immediate. */
#define PORT_NOP		0xe0
#define PORT_FAIL		0x500
#define PORT_ECHO		0x504
#define PORT_FIFO		0x508
#define PORT_BENCH		0x50c
#define PORT_TALLY		0x510
#define PORT_ACK(n)		(0x520 + (n) * 4)
#define FIFO_LEN		64

/* Vectors. */
#define VEC_PIC			0x20
#define VEC_TIMER		0x30
#define VEC_IPI			0x40
#define VEC_IRQFD		0x50
#define VEC_SELF		0x61
#define VEC_PAGE_READY		0x62
#define VEC_POSTED		0x80
#define VEC_POSTED_COUNT	16
#define VEC_SPURIOUS		0xff

/* Of HvSignalEvent, and the SINT that the VMM's irqfds are of */
#define HYPERV_CONNECTION(n)	(0x10 + (n))
#define HYPERV_SINT		4

/* Interrupt lines: an irqfd of vCPU n is an MSI route or an IOAPIC pin. */
#define GSI_MSI(n)		(24 + (n))
#define GSI_PIN(n)		(16 + (n))

/* The bench guest notes when its TSC jumps by more than this. */
#define GAP_MIN			20000

/* Of halt_shift: the LAPIC timer counts nanoseconds in 32 bits. */
#define HALT_SHIFT_MAX		7

/* What a guest needs; GN_BENCH guests are run by vmm-bench alone. */
#define GN_MSI			0x01
#define GN_PIN			0x02
#define GN_FULL			0x04
#define GN_X2APIC		0x08
#define GN_BENCH		0x10
#define GN_LEVEL		0x20
#define GN_SLOW			0x40	/* pages of the working set come late */

#define GN_HYPERV		0x80	/* CPUID and SynIC of Hyper-V */
#define GN_SINT			(0x100 | GN_HYPERV) /* the same, and irqfds and eventfds by SynIC */

/* Pages of a vCPU that come late, the first of its working set. */
#define GUEST_SLOW_PAGES	4

#ifndef __ASSEMBLER__
#include <linux/types.h>

#ifndef ARRAY_SIZE
#define ARRAY_SIZE(x)	(sizeof(x) / sizeof((x)[0]))
#endif

enum guest_id {
#define GUEST(name, needs, about) GUEST_##name,
#include "list.h"
#undef GUEST
	GUEST_COUNT
};

/* First bytes of the image. */
struct guest_header {
	__u64	entry;
	__u64	cr3;
	__u64	gdt;
	__u64	gdt_limit;
};

/* What PORT_BENCH answers, and what the bench guest then repeats. */
enum bench_op {
	BENCH_IDLE,		/* wait: count in shared->epoch's loop */
	BENCH_NOTHING,
	BENCH_CPUID,
	BENCH_PIO,
	BENCH_TOUCH,
	BENCH_AGAIN,		/* the first pages that BENCH_TOUCH touched */
	BENCH_IRQ,
};

/* What vCPU n of the dirty guest does: DIRTY(n, op) or'ed into shared->bench_op. */
enum dirty_op {
	DIRTY_IDLE,
	DIRTY_RANDOM,		/* a store to any page of its working set */
	DIRTY_SEQUENTIAL,	/* to the page after the one before */
	DIRTY_SPIN,		/* counts in a register, tells each millionth */
	DIRTY_TIMER,		/* as DIRTY_RANDOM, with a periodic timer from then on */
	DIRTY_SEND,		/* IPIs to vCPU 0, the next when one was taken */
};

/* What vCPU n of it has counted: c->count[...] */
enum dirty_count {
	DIRTY_STORES,
	DIRTY_SEED,		/* of DIRTY_RANDOM */
	DIRTY_ROUNDS,		/* of DIRTY_SPIN */
	DIRTY_IPIS,		/* taken, as the next */
	DIRTY_NMIS,
	DIRTY_TICKS,
};

#define DIRTY(n, op)		((op) << (n) * 4)
#define DIRTY_OP(all, n)	((all) >> (n) * 4 & 15)

struct guest_shared {
	__u32	guest;
	__u32	cpus;
	__u32	x2apic;
	__u32	tsc_khz;
	__u64	mem;
	__u64	ws_per_cpu;
	/* Set by the VMM while the guest runs. */
	__u32	stop;
	__u32	passes;
	__u32	bench_op;
	__u32	bench_n;
	__u32	epoch;
	__u32	host_tcg;	/* the host is software emulation by QEMU */
	__u32	halt_shift;	/* the hlt guest halts for 2^halt_shift times as long */
	__u64	tsc_last;
};

struct guest_cpu {
	__u64	self;
	__u64	index;
	__u64	started;
	__u64	progress;
	__u64	done;
	__u64	skip;		/* address of a reason, or 0 */
	__u64	fail;		/* address of a reason, or 0 */
	__u64	want;
	__u64	got;
	__u64	where;
	__u64	fixup;
	__u64	twice;		/* interrupts injected twice, see on_trap() */
	__u64	count[8];	/* meaning depends on the guest */
	__u64	tsc_first;
	__u64	tsc_now;
	__u64	gap_from;
	__u64	gap_to;
	__u32	epoch;
	__u32	gaps;		/* how many there were, the last ones below */
	struct {
		__u64	from;
		__u64	to;
	} gap[64];
	__u8	pvclock[64] __aligned(64);
};

/* The devices' answer to a value; both sides compute it. */
static inline __u64 guest_answer(__u64 v)
{
	v ^= v >> 33;
	v *= 0xff51afd7ed558ccdULL;
	return v ^ (v >> 29);
}
#endif
#endif
