// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests about interrupts: ipi, irqfd, pending, nmi. Each interrupt is waited
 * for before the next is sent, so that none may be merged and the counts are
 * exact. count[0] received, count[1] sent.
 */
#include "guest.h"

static void on_ipi(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();

	(void)f;
	STORE(c->count[0], c->count[0] + 1);
	apic_eoi();
}

static void ring(struct guest_cpu *c)
{
	struct guest_cpu *to = cpu_page((c->index + 1) % shared()->cpus);
	__u64 spun = 0;

	on_vector(VEC_IPI, on_ipi);
	/* Nobody sends to a vCPU that has not turned its APIC on. */
	STORE(c->count[2], 1);
	irqs_on();
	while (!LOAD(to->count[2]))
		pause();
	do {
		__u64 sent = c->count[1] + 1;

		STORE(c->count[1], sent);
		apic_ipi(to->index, 0x4000 | VEC_IPI);
		while (LOAD(to->count[0]) < sent) {
			spun = spin_round(spun, 16);
			irqs_off_on();
		}
		expect("IPIs received by the neighbour", sent, LOAD(to->count[0]));
	} while (step(c));
}

void guest_ipi(struct guest_cpu *c)
{
	ring(c);
}

void guest_ipi_x2apic(struct guest_cpu *c)
{
	ring(c);
}

static void on_irqfd_msi(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();

	(void)f;
	STORE(c->count[0], c->count[0] + 1);
	apic_eoi();
	io_out32(PORT_ACK(c->index), 1);
}

static void on_irqfd_pin(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();

	(void)f;
	STORE(c->count[0], c->count[0] + 1);
	apic_eoi();
	STORE(*(__u32 *)(unsigned long)GUEST_MMIO_ACK(c->index), 1);
}

static void count_irqs(struct guest_cpu *c)
{
	__u64 seen, spun = 0;

	irqs_on();
	do {
		seen = LOAD(c->count[0]);
		/* Half of the time halted, half spinning. */
		if (seen & 8)
			asm volatile("hlt" : : : "memory");
		while (LOAD(c->count[0]) == seen)
			spun = spin_round(spun, 16);
	} while (step(c));
}

void guest_irqfd_msi(struct guest_cpu *c)
{
	on_vector(VEC_IRQFD, on_irqfd_msi);
	/* The VMM sends the first when it sees this. */
	STORE(c->count[2], 1);
	count_irqs(c);
}

static void ioapic_write(__u32 reg, __u32 v)
{
	STORE(*(__u32 *)0xfec00000ul, reg);
	STORE(*(__u32 *)0xfec00010ul, v);
}

static void irqfd_pin(struct guest_cpu *c, __u32 vec, __u32 mode,
		      void (*handler)(struct trap_frame *f))
{
	static __u32 lock;

	on_vector(vec, handler);
	/* Index and data are two writes: one vCPU at a time. */
	while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
		pause();
	ioapic_write(0x10 + 2 * GSI_PIN(c->index) + 1, (__u32)c->index << 24);
	ioapic_write(0x10 + 2 * GSI_PIN(c->index), mode | vec);
	STORE(lock, 0);
	STORE(c->count[2], 1);
	count_irqs(c);
}

void guest_irqfd_pin(struct guest_cpu *c)
{
	irqfd_pin(c, VEC_IRQFD, 0, on_irqfd_pin);
}

/*
 * The EOI is the answer: KVM lowers the line and signals the resample eventfd, of
 * every pin that has the vector.
 */
void guest_irqfd_level(struct guest_cpu *c)
{
	irqfd_pin(c, VEC_IRQFD + c->index, 1 << 15, on_ipi);
}

void guest_pending(struct guest_cpu *c)
{
	__u32 word = APIC_IRR + (VEC_SELF / 32) * 0x10, bit = VEC_SELF % 32;
	__u64 spun = 0;

	irqs_off();
	on_vector(VEC_SELF, on_ipi);
	do {
		__u64 seen = c->count[0];

		apic_ipi(c->index, 0x4000 | VEC_SELF);
		spun = spin_round(spun, 20000);
		expect("delivered with IF=0", seen, LOAD(c->count[0]));
		expect("no longer pending in the IRR", 1,
		       apic_read(word) >> bit & 1);
		c->count[1]++;
		irqs_on();
		while (LOAD(c->count[0]) == seen)
			spun = spin_round(spun, 16);
		irqs_off();
		expect("interrupts after STI", seen + 1, LOAD(c->count[0]));
		expect("still pending after its delivery", 0,
		       apic_read(word) >> bit & 1);
	} while (step(c));
}

/*
 * The first NMI's handler sends the second and spins: the second is pending and
 * masked meanwhile, and comes right after the IRET.
 */
static struct nmi_cpu {
	__u64	inside;
	__u64	spun;
	__u64	pad[6];
} nmis[GUEST_MAX_CPUS];

static void on_nmi(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	struct nmi_cpu *n = &nmis[c->index];

	(void)f;
	if (n->inside)
		fail("an NMI inside of an NMI handler", 0, c->count[0]);
	STORE(n->inside, 1);
	STORE(c->count[0], c->count[0] + 1);
	if (c->count[0] & 1) {
		c->count[1]++;
		apic_ipi(c->index, 0x4000 | 4 << 8);
		n->spun = spin_round(n->spun, 20000);
	}
	STORE(n->inside, 0);
}

void guest_nmi(struct guest_cpu *c)
{
	__u64 spun = 0;

	on_vector(2, on_nmi);
	do {
		__u64 seen = c->count[0];

		c->count[1]++;
		apic_ipi(c->index, 0x4000 | 4 << 8);
		while (LOAD(c->count[0]) < seen + 2)
			spun = spin_round(spun, 16);
		expect("NMIs of one round", seen + 2, LOAD(c->count[0]));
	} while (step(c));
}
