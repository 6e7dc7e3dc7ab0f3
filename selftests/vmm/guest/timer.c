// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests about the LAPIC timer and the PIT. The LAPIC's timer counts
 * nanoseconds, the TSC counts by shared->tsc_khz; both are judged against each
 * other with the slack that two different clocks need.
 *
 * count[0] ticks, count[1] period in ns, for the VMM's own comparison.
 */
#include "guest.h"

static void timer_start(__u32 mode)
{
	apic_write(APIC_TDCR, 0xb);	/* divide by 1 */
	apic_write(APIC_LVTT, mode | VEC_TIMER);
}

static void timer_stop(void)
{
	apic_write(APIC_LVTT, LVT_MASKED | VEC_TIMER);
	apic_write(APIC_TMICT, 0);
}

/*
 * A sixteenth and 30 us: KVM may expire a timer up to 5 us early by design, and
 * its idea of the TSC's frequency is as good as the host's calibration.
 */
static int too_early(__u64 start, __u64 now, __u64 ns)
{
	__u64 tsc = ns_to_tsc(ns);

	return now - start + tsc / 16 + ns_to_tsc(30000) < tsc;
}

static struct one {
	__u64	armed;
	__u64	start;
	__u64	ns;
	__u64	last;		/* TSC of the last tick, and how many passes before it */
	__u64	passes;
	__u64	early;		/* ticks before their deadline */
	__u64	pad[2];
} one[GUEST_MAX_CPUS];

/*
 * KVM reads its clock, then the TSC, and where an emulated CPU stands still between the two
 * a tick comes as much too early. That is rare; what a move did to a timer would not be.
 */
#define EARLY_TICKS	2

static void on_oneshot(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	struct one *o = &one[c->index];
	__u64 now = read_tsc();

	if (!o->armed) {
		c->count[6] = now - o->last;
		c->count[7] = LOAD(shared()->passes) - o->passes;
		fail("a timer tick that nobody asked for (extra: TSC and passes since the last)",
		     c->count[0], f->rip);
	}
	if (too_early(o->start, now, o->ns))
		fail("a timer tick too early (TSC wanted, elapsed)",
		     ns_to_tsc(o->ns), now - o->start);
	o->armed = 0;
	o->last = now;
	o->passes = LOAD(shared()->passes);
	c->count[0]++;
	apic_eoi();
}

static void oneshot(struct guest_cpu *c)
{
	struct one *o = &one[c->index];
	__u64 seed = 0;

	on_vector(VEC_TIMER, on_oneshot);
	timer_start(0);
	do {
		__u64 ticks = c->count[0];
		__u64 spun = 0;

		o->ns = 300000 + random64(&seed) % 2000000;
		o->start = read_tsc();
		STORE(o->armed, 1);
		apic_write(APIC_TMICT, o->ns);
		irqs_on();
		while (LOAD(o->armed)) {
			spun = spin_round(spun, 64);
			irqs_off_on();
		}
		irqs_off();
		expect("ticks of one shot", ticks + 1, c->count[0]);
		expect("the timer counts on after its shot", 0,
		       apic_read(APIC_TMCCT));
	} while (step(c));
	timer_stop();
}

void guest_timer_oneshot(struct guest_cpu *c)
{
	oneshot(c);
}

void guest_timer_x2apic(struct guest_cpu *c)
{
	oneshot(c);
}

static void on_deadline(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	struct one *o = &one[c->index];
	__u64 now = read_tsc();

	if (!o->armed) {
		c->count[6] = now - o->last;
		c->count[7] = LOAD(shared()->passes) - o->passes;
		fail("a timer tick that nobody asked for (extra: TSC and passes since the last)",
		     c->count[0], f->rip);
	}
	if (now + ns_to_tsc(30000) < o->start && ++o->early > EARLY_TICKS)
		fail("a timer tick before its deadline", o->start, now);
	o->armed = 0;
	o->last = now;
	o->passes = LOAD(shared()->passes);
	c->count[0]++;
	apic_eoi();
}

void guest_timer_deadline(struct guest_cpu *c)
{
	struct one *o = &one[c->index];
	__u64 seed = 0;
	__u32 r[4];

	cpuid(1, 0, r);
	if (!(r[2] >> 24 & 1))
		skip("the vCPU has no TSC-deadline timer");
	on_vector(VEC_TIMER, on_deadline);
	timer_start(LVT_DEADLINE);
	do {
		__u64 ticks = c->count[0];
		__u64 spun = 0;

		o->start = read_tsc() +
			   ns_to_tsc(300000 + random64(&seed) % 2000000);
		STORE(o->armed, 1);
		wrmsr(MSR_TSC_DEADLINE, o->start);
		irqs_on();
		while (LOAD(o->armed))
			spun = spin_round(spun, 64);
		irqs_off();
		expect("ticks of one deadline", ticks + 1, c->count[0]);
		expect("the deadline stays after its tick", 0,
		       rdmsr(MSR_TSC_DEADLINE));
	} while (step(c));
	timer_stop();
}

static void on_periodic(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	__u64 slack;

	(void)f;
	c->count[0]++;
	c->tsc_now = read_tsc();
	/*
	 * KVM merges ticks that a busy host delivers late, so fewer are legal
	 * and more are not: one for the phase, one for each pass, and the slack
	 * of the clocks.
	 */
	slack = 2 + LOAD(shared()->passes);
	if (c->count[0] > slack &&
	    (c->count[0] - slack) * 15 / 16 * ns_to_tsc(c->count[1]) >
	    c->tsc_now - c->tsc_first)
		fail("more ticks than periods (ticks, TSC elapsed)",
		     c->count[0], c->tsc_now - c->tsc_first);
	apic_eoi();
}

void guest_timer_periodic(struct guest_cpu *c)
{
	__u64 spun = 0, seen = 0;

	c->count[1] = 1000000 + 100000 * c->index;
	on_vector(VEC_TIMER, on_periodic);
	c->tsc_first = read_tsc();
	timer_start(LVT_PERIODIC);
	apic_write(APIC_TMICT, c->count[1]);
	irqs_on();
	do {
		while (LOAD(c->count[0]) == seen)
			spun = spin_round(spun, 64);
		seen = LOAD(c->count[0]);
	} while (step(c));
	irqs_off();
	timer_stop();
}

void guest_hlt(struct guest_cpu *c)
{
	struct one *o = &one[c->index];
	__u64 seed = 0;

	irqs_off();
	on_vector(VEC_TIMER, on_oneshot);
	timer_start(0);
	do {
		__u64 ticks = c->count[0];

		/* Long, so that a pass meets a halted vCPU nearly always. */
		o->ns = (10000000 + random64(&seed) % 20000000) <<
			LOAD(shared()->halt_shift);
		o->start = read_tsc();
		STORE(o->armed, 1);
		apic_write(APIC_TMICT, o->ns);
		halt_until_irq();
		expect("HLT ended without the interrupt (ticks)", ticks + 1,
		       LOAD(c->count[0]));
	} while (step(c));
	timer_stop();
}

static void on_pit(struct trap_frame *f)
{
	struct guest_cpu *c = cpu_page(0);

	(void)f;
	if (this_cpu() != c)
		fail("the PIC interrupted another vCPU", 0, this_cpu()->index);
	c->count[0]++;
	io_out8(0x20, 0x20);
}

void guest_pit(struct guest_cpu *c)
{
	__u64 seen, spun = 0;

	if (c->index) {
		/* The PIC is wired to the first vCPU. */
		while (step(c))
			spun = spin_round(spun, 4096);
		return;
	}
	irqs_off();
	on_vector(VEC_PIC, on_pit);
	io_out8(0x20, 0x11);
	io_out8(0x21, VEC_PIC);
	io_out8(0x21, 4);
	io_out8(0x21, 1);
	io_out8(0xa0, 0x11);
	io_out8(0xa1, VEC_PIC + 8);
	io_out8(0xa1, 2);
	io_out8(0xa1, 1);
	io_out8(0x21, 0xfe);
	io_out8(0xa1, 0xff);
	apic_write(APIC_LVT0, 0x700);
	/* Channel 0, rate generator, 1.193182 MHz / 1193 = 1 kHz. */
	io_out8(0x43, 0x34);
	io_out8(0x40, 1193 & 0xff);
	io_out8(0x40, 1193 >> 8);
	irqs_on();
	do {
		seen = LOAD(c->count[0]);
		while (LOAD(c->count[0]) == seen)
			spun = spin_round(spun, 64);
	} while (step(c));
	irqs_off();
	expect("the PIC's mask", 0xfe, io_in8(0x21));
	io_out8(0x21, 0xff);
}
