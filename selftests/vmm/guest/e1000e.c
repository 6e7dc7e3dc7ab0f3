// SPDX-License-Identifier: GPL-2.0-only
/*
 * A guest that works with an e1000e whose link is up: sends a packet, which the NIC loops back
 * to where it receives, and compares. One at a time, each with an interrupt of its own. The NIC
 * moderates its interrupts: when that time is over it tells a cause again that was not read yet.
 * count[0] interrupts, count[1] packets, count[2] interrupts whose cause had been read.
 */
#include "guest.h"
#include "../../vfio/e1000e.h"

/* A packet has been sent, and then has come back, too. */
#define CAUSE_SENT	0x00000001
/* Enabled, for any address, looped back, without the CRC */
#define RCTL_LOOP	0x0400805a
#define TCTL_RUN	0x0000000a
/* The whole packet, with a CRC, and its status is written. */
#define SEND		0x0b

#define ENTRIES		16
#define BUFFER		2048
#define BYTES		600

/* Of what is sent */
struct descriptor {
	__u64	address;
	__u16	length;
	__u8	offset;
	__u8	command;
	__u8	status;
	__u8	more;
	__u16	special;
};

struct memory {
	struct descriptor sent[ENTRIES];
	struct e1000e_receive received[ENTRIES];
	__u8	out[ENTRIES][BUFFER] __aligned(BUFFER);
	__u8	in[ENTRIES][BUFFER];
};

static struct memory *memory(void)
{
	return (struct memory *)GUEST_E1000E;
}

static __u32 read32(__u32 at)
{
	return LOAD(*(__u32 *)(unsigned long)(GUEST_E1000E_BAR + at));
}

static void write32(__u32 at, __u32 value)
{
	STORE(*(__u32 *)(unsigned long)(GUEST_E1000E_BAR + at), value);
}

/* Reading the cause takes it back. */
static void on_sent(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();

	(void)f;
	if (!(read32(E1000E_ICR) & CAUSE_SENT))
		STORE(c->count[2], c->count[2] + 1);
	STORE(c->count[0], c->count[0] + 1);
	apic_eoi();
}

/* Of packets */
static __u64 interrupts(const struct guest_cpu *c)
{
	return LOAD(c->count[0]) - LOAD(c->count[2]);
}

static void start(void)
{
	struct memory *m = memory();
	unsigned int i;

	for (i = 0; i < ENTRIES; i++)
		m->received[i].address = (unsigned long)m->in[i];
	write32(E1000E_RDBAL, (__u32)(unsigned long)m->received);
	write32(E1000E_RDBAH, 0);
	write32(E1000E_RDLEN, sizeof(m->received));
	write32(E1000E_RDH, 0);
	write32(E1000E_RDT, ENTRIES - 1);
	write32(E1000E_TDBAL, (__u32)(unsigned long)m->sent);
	write32(E1000E_TDBAH, 0);
	write32(E1000E_TDLEN, sizeof(m->sent));
	write32(E1000E_TDH, 0);
	write32(E1000E_TDT, 0);
	write32(E1000E_RCTL, RCTL_LOOP);
	write32(E1000E_TCTL, TCTL_RUN);
	read32(E1000E_ICR);
	write32(E1000E_IMS, CAUSE_SENT);
}

static void send(struct guest_cpu *c, unsigned int n)
{
	struct descriptor *d = &memory()->sent[n];
	__u64 count = c->count[1] + 1;

	STORE(c->count[1], count);
	d->address = (unsigned long)memory()->out[n];
	d->length = BYTES;
	d->offset = 0;
	d->command = SEND;
	STORE(d->status, 0);
	/* The descriptor before its number. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	write32(E1000E_TDT, (n + 1) % ENTRIES);
	irqs_off();
	while (interrupts(c) < count)
		halt_until_irq();
	irqs_on();
	expect("interrupts of the device", count, interrupts(c));
	expect("a packet was sent", E1000E_DONE, LOAD(d->status) & E1000E_DONE);
	expect("up to where the NIC has sent", (n + 1) % ENTRIES, read32(E1000E_TDH));
}

static void receive(unsigned int n)
{
	struct e1000e_receive *r = &memory()->received[n];
	unsigned int i;

	expect("a packet was received", E1000E_DONE, LOAD(r->status) & E1000E_DONE);
	expect("its length", BYTES, r->length);
	for (i = 0; i < BYTES; i++)
		expect("a byte of the packet", memory()->out[n][i], memory()->in[n][i]);
	STORE(r->status, 0);
	/* The one before this one can be filled again. */
	write32(E1000E_RDT, n);
}

void guest_e1000e(struct guest_cpu *c)
{
	unsigned int i, n = 0;
	__u64 random = 0;

	on_vector(VEC_IRQFD, on_sent);
	start();
	irqs_on();
	do {
		for (i = 0; i < BYTES; i++) {
			memory()->out[n][i] = (__u8)random64(&random);
			memory()->in[n][i] = 0;
		}
		send(c, n);
		receive(n);
		n = (n + 1) % ENTRIES;
	} while (step(c));
}
