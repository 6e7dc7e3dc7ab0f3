// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests about what KVM has of Hyper-V: reference time, the synthetic interrupt controller
 * (SynIC) with its timers, events that the guest signals.
 */
#include "guest.h"

#define MSR_GUEST_OS_ID		0x40000000
#define MSR_HYPERCALL		0x40000001
#define MSR_TIME_REF_COUNT	0x40000020
#define MSR_REFERENCE_TSC	0x40000021
#define MSR_EOI			0x40000070
#define MSR_VP_ASSIST_PAGE	0x40000073
#define MSR_SCONTROL		0x40000080
#define MSR_SIEFP		0x40000082
#define MSR_SIMP		0x40000083
#define MSR_EOM			0x40000084
#define MSR_SINT(n)		(0x40000090 + (n))
#define MSR_STIMER_CONFIG(n)	(0x400000b0 + 2 * (n))
#define MSR_STIMER_COUNT(n)	(0x400000b1 + 2 * (n))

#define SINT_AUTO_EOI		0x20000

#define STIMER_ENABLE		0x1
#define STIMER_PERIODIC		0x2
#define STIMER_DIRECT(vec)	(0x1000 | (vec) << 4)
#define STIMER_SINT(n)		((n) << 16)

#define MESSAGE_TIMER		0x80000010
#define MESSAGE_PENDING		1

#define CALL_POST_MESSAGE	0x5c
#define CALL_SIGNAL_EVENT	0x5d
#define CALL_FAST		0x10000

/* Any that is not 0. */
#define OS_ID			0x8100000000000000ull

struct message {
	__u32	type;
	__u8	size;
	__u8	flags;
	__u8	reserved[2];
	__u64	sender;
	__u32	timer;
	__u32	pad;
	__u64	expires;
	__u64	delivered;
	__u8	rest[216];
};

static struct message messages[GUEST_MAX_CPUS][16] __aligned(4096);
static __u8 events[GUEST_MAX_CPUS][4096] __aligned(4096);

static void need_hyperv(void)
{
	__u32 r[4];

	cpuid(0x40000001, 0, r);
	if (r[0] != 0x31237648)
		skip("the vCPU has nothing of Hyper-V");
}

static __u64 ref_time(void)
{
	return rdmsr(MSR_TIME_REF_COUNT);
}

static void synic_start(struct guest_cpu *c)
{
	wrmsr(MSR_SIMP, (__u64)messages[c->index] | 1);
	wrmsr(MSR_SIEFP, (__u64)events[c->index] | 1);
	wrmsr(MSR_SCONTROL, 1);
}

static void synic_kept(struct guest_cpu *c)
{
	expect("the SIMP MSR lost", (__u64)messages[c->index] | 1, rdmsr(MSR_SIMP));
	expect("the SIEFP MSR lost", (__u64)events[c->index] | 1, rdmsr(MSR_SIEFP));
	expect("the SCONTROL MSR lost", 1, rdmsr(MSR_SCONTROL));
}

/* -- timers -- */

enum {
	TIMER_SHOT,		/* one-shot, a message */
	TIMER_DIRECT,		/* one-shot, an interrupt alone */
	TIMER_TICK,		/* periodic, a message that ends its interrupt itself */
	TIMER_BEHIND,		/* one-shot, its message behind another that stays */
};

#define SINT_SHOT	2
#define SINT_TICK	3
#define VEC_SHOT	0x70
#define VEC_TICK	0x71
#define VEC_DIRECT	0x72
/* In units of 100 ns. */
#define TICK		20000

static struct stimer {
	__u64	armed;		/* which one-shot timer is, and 1 */
	__u64	expires;
	__u64	keep;		/* the message stays where it is */
	__u64	last;		/* tick */
	__u64	pad[4];
} stimers[GUEST_MAX_CPUS];

/* Makes room for the next one, which may wait for it. */
static void message_take(struct message *m)
{
	STORE(m->type, 0);
	/* First the type, then the flag: KVM looks at them the other way round. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (LOAD(m->flags) & MESSAGE_PENDING)
		wrmsr(MSR_EOM, 0);
}

static void shot_is(struct guest_cpu *c, __u64 timer)
{
	struct stimer *s = &stimers[c->index];

	if (s->armed != timer + 1)
		fail("a timer that was not armed (armed and 1, and this)", s->armed, timer + 1);
	c->count[0]++;
	STORE(s->armed, 0);
}

static void on_shot(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	struct stimer *s = &stimers[c->index];
	struct message *m = &messages[c->index][SINT_SHOT];
	__u64 now;

	(void)f;
	expect("an interrupt without a timer's message", MESSAGE_TIMER, LOAD(m->type));
	expect("when the timer expires, by its message", s->expires, m->expires);
	if (m->delivered < m->expires)
		fail("a timer's message before its time", m->expires, m->delivered);
	now = ref_time();
	if (now < m->delivered)
		fail("reference time is behind a message", m->delivered, now);
	shot_is(c, m->timer);
	if (!s->keep)
		message_take(m);
	apic_eoi();
}

static void on_direct(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	__u64 now = ref_time();

	(void)f;
	if (now < stimers[c->index].expires)
		fail("a timer before its time", stimers[c->index].expires, now);
	shot_is(c, TIMER_DIRECT);
	apic_eoi();
}

/*
 * KVM leaves out ticks that are late, but whatever comes is a number of periods after the
 * one before. Where KVM's userspace API is all that there is, a new phase begins.
 * No EOI: the SINT is to do it, and the next tick comes only if it did.
 */
static void on_tick(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	struct stimer *s = &stimers[c->index];
	struct message *m = &messages[c->index][SINT_TICK];
	__u32 r[4];

	(void)f;
	expect("a tick without its message", MESSAGE_TIMER, LOAD(m->type));
	expect("the timer of a tick", TIMER_TICK, m->timer);
	if (s->last && m->expires <= s->last)
		fail("a tick again, or one of the past", s->last, m->expires);
	if (s->last && (m->expires - s->last) % TICK)
		STORE(c->count[4], c->count[4] + 1);
	s->last = m->expires;
	STORE(c->count[1], c->count[1] + 1);
	message_take(m);
	/* An exit, as an EOI is: until then QEMU may deliver the interrupt again. */
	cpuid(0, 0, r);
}

static void arm(struct guest_cpu *c, __u64 timer, __u64 config, __u64 *seed)
{
	struct stimer *s = &stimers[c->index];

	s->expires = ref_time() + 3000 + random64(seed) % 20000;
	STORE(s->armed, timer + 1);
	wrmsr(MSR_STIMER_COUNT(timer), s->expires);
	wrmsr(MSR_STIMER_CONFIG(timer), config | STIMER_ENABLE);
}

static void await_shot(struct guest_cpu *c)
{
	__u64 spun = 0;

	while (LOAD(stimers[c->index].armed)) {
		spun = spin_round(spun, 64);
		irqs_off_on();
	}
}

/* The message of one timer stays, so that of another has to wait, however long. */
static void behind(struct guest_cpu *c, __u64 *seed)
{
	struct stimer *s = &stimers[c->index];
	struct message *m = &messages[c->index][SINT_SHOT];
	__u64 spun = 0, more;

	STORE(s->keep, 1);
	arm(c, TIMER_SHOT, STIMER_SINT(SINT_SHOT), seed);
	await_shot(c);
	arm(c, TIMER_BEHIND, STIMER_SINT(SINT_SHOT), seed);
	while (!(LOAD(m->flags) & MESSAGE_PENDING)) {
		spun = spin_round(spun, 64);
		irqs_off_on();
	}
	for (more = random64(seed) % 200; more; more--)
		spun = spin_round(spun, 64);
	expect("a message came over another", TIMER_BEHIND + 1, LOAD(s->armed));
	expect("the message that stays", TIMER_SHOT, m->timer);
	STORE(s->keep, 0);
	message_take(m);
	await_shot(c);
}

/*
 * count[0] shots, four in each step; count[1] ticks; count[4] how often the ticks' phase
 * was another after a pass.
 */
void guest_hv_timer(struct guest_cpu *c)
{
	__u64 seed = 0;

	need_hyperv();
	on_vector(VEC_SHOT, on_shot);
	on_vector(VEC_TICK, on_tick);
	on_vector(VEC_DIRECT, on_direct);
	synic_start(c);
	wrmsr(MSR_SINT(SINT_SHOT), VEC_SHOT);
	wrmsr(MSR_SINT(SINT_TICK), VEC_TICK | SINT_AUTO_EOI);
	wrmsr(MSR_STIMER_COUNT(TIMER_TICK), TICK);
	wrmsr(MSR_STIMER_CONFIG(TIMER_TICK),
	      STIMER_ENABLE | STIMER_PERIODIC | STIMER_SINT(SINT_TICK));
	irqs_on();
	do {
		arm(c, TIMER_SHOT, STIMER_SINT(SINT_SHOT), &seed);
		await_shot(c);
		arm(c, TIMER_DIRECT, STIMER_DIRECT(VEC_DIRECT), &seed);
		await_shot(c);
		behind(c, &seed);
		synic_kept(c);
		expect("the SINT of the ticks lost", VEC_TICK | SINT_AUTO_EOI,
		       rdmsr(MSR_SINT(SINT_TICK)));
		expect("the ticks' period", TICK, rdmsr(MSR_STIMER_COUNT(TIMER_TICK)));
	} while (step(c));
	wrmsr(MSR_STIMER_CONFIG(TIMER_TICK), 0);
	if (c->progress > 8 && !LOAD(c->count[1]))
		fail("no tick in all the time", 1, 0);
}

/* -- reference time -- */

static struct {
	__u32	sequence;
	__u32	reserved;
	__u64	scale;
	__s64	offset;
} ref_page __aligned(4096);

/* How often the page may be found invalid before it stays so: KVM writes it on entry. */
#define INVALID_READS	1000

static __u64 by_page(__u32 *sequence)
{
	unsigned __int128 product;
	__u64 tsc, scale;
	__s64 offset;
	__u32 seq;

	do {
		seq = LOAD(ref_page.sequence);
		scale = LOAD(ref_page.scale);
		offset = LOAD(ref_page.offset);
		tsc = read_tsc();
	} while (seq != LOAD(ref_page.sequence));
	*sequence = seq;
	product = (unsigned __int128)tsc * scale;
	return (__u64)(product >> 64) + offset;
}

static __u64 raise(__u64 *last, __u64 now)
{
	__u64 old = LOAD(*last);

	while (old < now)
		if (__atomic_compare_exchange_n(last, &old, now, 0, __ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			break;
	return old;
}

/*
 * The page and the MSR tell one time, which never goes back on a vCPU or between them.
 * count[0] the reads, count[1] the last time, count[2] the page's sequence.
 */
void guest_hv_clock(struct guest_cpu *c)
{
	static __u64 last_any, on;
	__u64 now, others, last = 0;
	__u32 seq, invalid = 0;
	int i;

	need_hyperv();
	if (!c->index) {
		wrmsr(MSR_REFERENCE_TSC, (__u64)&ref_page | 1);
		STORE(on, 1);
	}
	while (!LOAD(on))
		pause();
	do {
		for (i = 0; i < 500; i++) {
			others = LOAD(last_any);
			now = by_page(&seq);
			if (!seq || i % 50 == 0)
				now = ref_time();
			if (now < last)
				fail("reference time went backwards", last, now);
			if (now < others)
				fail("reference time is behind another vCPU's", others, now);
			raise(&last_any, now);
			last = now;
			invalid = seq || !c->count[2] ? 0 : invalid + 1;
			if (invalid > INVALID_READS)
				fail("the reference TSC page is not valid any more",
				     c->count[2], 0);
			if (seq)
				c->count[2] = seq;
		}
		c->count[0] += 500;
		STORE(c->count[1], now);
		expect("the reference TSC MSR lost", (__u64)&ref_page | 1,
		       rdmsr(MSR_REFERENCE_TSC));
	} while (step(c));
}

/* -- events -- */

static __u8 call_page[4096] __aligned(4096);

static __u64 hypercall(__u64 code, __u64 in, __u64 out)
{
	register __u64 r8 asm("r8") = out;
	__u64 ret;

	asm volatile("call *%3"
		     : "=a"(ret), "+c"(code), "+d"(in)
		     : "r"((__u64)call_page), "r"(r8)
		     : "cc", "memory", "r9", "r10", "r11");
	return ret;
}

static void calls_start(struct guest_cpu *c)
{
	static __u64 on;

	if (!c->index) {
		wrmsr(MSR_GUEST_OS_ID, OS_ID);
		wrmsr(MSR_HYPERCALL, (__u64)call_page | 1);
		STORE(on, 1);
	}
	while (!LOAD(on))
		pause();
}

static __u32 assist[GUEST_MAX_CPUS][1024] __aligned(4096);

/* The answer is an exit, so the flag needs none (on_tick()). count[3] ended by the flag. */
static void on_event(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	__u8 skipped;

	(void)f;
	STORE(c->count[0], c->count[0] + 1);
	/* One instruction: KVM must not come in between. */
	asm volatile("btrl $0, %0; setc %1"
		     : "+m"(assist[c->index][0]), "=q"(skipped) : : "cc", "memory");
	if (skipped)
		c->count[3]++;
	else
		wrmsr(MSR_EOI, 0);
	expect("what HvSignalEvent says", 0,
	       hypercall(CALL_SIGNAL_EVENT | CALL_FAST, HYPERV_CONNECTION(c->index), 0));
}

static void on_sint(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();

	(void)f;
	STORE(c->count[0], c->count[0] + 1);
	wrmsr(MSR_EOI, 0);
}

static void take_events(struct guest_cpu *c, void (*handler)(struct trap_frame *f))
{
	__u64 seen, ask, seed = 0, spun = 0;

	need_hyperv();
	calls_start(c);
	on_vector(VEC_IRQFD, handler);
	synic_start(c);
	wrmsr(MSR_SINT(HYPERV_SINT), VEC_IRQFD);
	/* The VMM sends the first when it sees this. */
	STORE(c->count[2], 1);
	irqs_on();
	do {
		seen = LOAD(c->count[0]);
		/* A call that the VMM answers. */
		ask = random64(&seed) & ~7ull;
		irqs_off();
		expect("the VMM's answer to HvPostMessage", guest_answer(ask) & 0xffff,
		       hypercall(CALL_POST_MESSAGE, ask, 0));
		irqs_on();
		if (seen & 8)
			asm volatile("hlt" : : : "memory");
		while (LOAD(c->count[0]) == seen)
			spun = spin_round(spun, 16);
		synic_kept(c);
		expect("the SINT MSR lost", VEC_IRQFD, rdmsr(MSR_SINT(HYPERV_SINT)));
		expect("the hypercall MSR lost", (__u64)call_page | 1, rdmsr(MSR_HYPERCALL));
	} while (step(c));
}

void guest_hv_event(struct guest_cpu *c)
{
	need_hyperv();
	wrmsr(MSR_VP_ASSIST_PAGE, (__u64)assist[c->index] | 1);
	take_events(c, on_event);
	expect("the assist page's MSR lost", (__u64)assist[c->index] | 1,
	       rdmsr(MSR_VP_ASSIST_PAGE));
}

/* The EOI is the answer, by the resample eventfd of the SINT's route. */
void guest_hv_sint(struct guest_cpu *c)
{
	take_events(c, on_sint);
}
