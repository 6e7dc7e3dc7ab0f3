// SPDX-License-Identifier: GPL-2.0-only
/*
 * The guest for posted interrupts: counts every vector in memory, where the one
 * that posts looks before it posts the vector again. count[0] all of them,
 * count[1] halts, count[3] interrupts of a vector that nobody posted, below.
 *
 * Two flaws of Bochs' virtual APIC are put up with. A notification that finds
 * nothing posted (KVM was faster) makes it deliver vector 0xff, as an interrupt that
 * is in service until EOI, so that none is delivered after it. And an interrupt of
 * the host makes it deliver a virtual one while the guest has interrupts off.
 */
#include "guest.h"

#define APIC_ISR	0x100

static __u64 *acks(struct guest_cpu *c)
{
	return (__u64 *)(unsigned long)GUEST_ACKS(c->index);
}

static void on_posted(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	__u64 *n = &acks(c)[f->vec];

	__atomic_add_fetch(&c->count[0], 1, __ATOMIC_ACQ_REL);
	apic_eoi();
	/* After the EOI: it can be posted again from here on. */
	STORE(*n, *n + 1);
}

static void on_spurious(struct trap_frame *f)
{
	(void)f;
	if (!(apic_read(APIC_ISR + VEC_SPURIOUS / 32 * 0x10) >> VEC_SPURIOUS % 32))
		return;
	this_cpu()->count[3]++;
	apic_eoi();
}

static void halt(struct guest_cpu *c, __u64 seen)
{
	irqs_off();
	if (LOAD(c->count[0]) == seen) {
		c->count[1]++;
		halt_until_irq();
	}
	irqs_on();
}

void guest_posted(struct guest_cpu *c)
{
	__u64 random = 0, seen, spun = 0;
	unsigned int i;

	for (i = 32; i < VEC_SPURIOUS; i++)
		on_vector(i, on_posted);
	on_vector(VEC_SPURIOUS, on_spurious);
	take_masked();
	STORE(c->count[2], 1);
	do {
		seen = LOAD(c->count[0]);
		if (random64(&random) & 1)
			halt(c, seen);
		while (LOAD(c->count[0]) == seen)
			spun = spin_round(spun, 64);
	} while (step(c));
}
