// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests about what KVM writes into memory that the guest names to it: steal time,
 * the flag that replaces an EOI, and async page faults. (The clock is in clock.c.)
 */
#include "guest.h"

#define MSR_KVM_STEAL_TIME	0x4b564d03
#define MSR_KVM_PV_EOI_EN	0x4b564d04

#define MSR_KVM_ASYNC_PF_EN	0x4b564d02
#define MSR_KVM_ASYNC_PF_INT	0x4b564d06
#define MSR_KVM_ASYNC_PF_ACK	0x4b564d07

#define FEATURE_ASYNC_PF	4
#define FEATURE_STEAL_TIME	5
#define FEATURE_PV_EOI		6
#define FEATURE_ASYNC_PF_INT	14

struct steal {
	__u64	steal;
	__u32	version;
	__u32	flags;
	__u8	preempted;
	__u8	pad[47];
} __aligned(64);

static void need(unsigned int feature, const char *otherwise)
{
	__u32 r[4];

	cpuid(0x40000000, 0, r);
	if (r[1] != 0x4b4d564b)
		skip("no KVM signature in CPUID");
	cpuid(0x40000001, 0, r);
	if (!(r[0] >> feature & 1))
		skip(otherwise);
}

static __u64 steal_read(struct steal *s)
{
	__u32 version;
	__u64 steal;

	do {
		version = LOAD(s->version);
		steal = LOAD(s->steal);
	} while ((version & 1) || version != LOAD(s->version));
	return steal;
}

/*
 * KVM writes the time whenever the vCPU comes back from userspace, where each step
 * goes. count[0] the time in ns, count[1] how often it was written.
 */
void guest_steal(struct guest_cpu *c)
{
	static struct steal all[GUEST_MAX_CPUS];
	struct steal *s = &all[c->index];
	__u32 version;
	__u64 now;

	need(FEATURE_STEAL_TIME, "no steal time in CPUID");
	wrmsr(MSR_KVM_STEAL_TIME, (__u64)s | 1);
	do {
		version = LOAD(s->version);
		io_out8(PORT_NOP, 0);
		if (LOAD(s->version) == version)
			fail("steal time is not written any more", version + 2, version);
		now = steal_read(s);
		if (now < c->count[0])
			fail("steal time went backwards", c->count[0], now);
		if (LOAD(s->preempted))
			fail("a vCPU that runs counts as preempted", 0, s->preempted);
		STORE(c->count[0], now);
		c->count[1] = LOAD(s->version) / 2;
		expect("the steal time MSR lost", (__u64)s | 1,
		       rdmsr(MSR_KVM_STEAL_TIME));
	} while (step(c));
	wrmsr(MSR_KVM_STEAL_TIME, 0);
}

static __u64 eoi_flag[GUEST_MAX_CPUS];

static void on_pv_ipi(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	__u8 skipped;
	__u32 r[4];

	(void)f;
	STORE(c->count[0], c->count[0] + 1);
	/* One instruction: KVM must not come in between. */
	asm volatile("btrq $0, %0; setc %1"
		     : "+m"(eoi_flag[c->index]), "=q"(skipped) : : "cc", "memory");
	if (!skipped) {
		apic_eoi();
		return;
	}
	c->count[3]++;
	/* An exit, as APIC_EOI is: until then QEMU may deliver the interrupt again. */
	cpuid(0, 0, r);
}

/*
 * IPIs to the vCPU itself, each ended by the flag where KVM allows it: one that KVM
 * does not hear of blocks the next. count[0] received, count[1] sent, count[3]
 * ended by the flag.
 */
void guest_pv_eoi(struct guest_cpu *c)
{
	__u64 spun = 0;

	need(FEATURE_PV_EOI, "no PV EOI in CPUID");
	on_vector(VEC_SELF, on_pv_ipi);
	wrmsr(MSR_KVM_PV_EOI_EN, (__u64)&eoi_flag[c->index] | 1);
	irqs_on();
	do {
		__u64 sent = c->count[1] + 1;

		STORE(c->count[1], sent);
		apic_ipi(c->index, 0x4000 | VEC_SELF);
		while (LOAD(c->count[0]) < sent)
			spun = spin_round(spun, 16);
		expect("interrupts from itself", sent, LOAD(c->count[0]));
		expect("the PV EOI MSR lost", (__u64)&eoi_flag[c->index] | 1,
		       rdmsr(MSR_KVM_PV_EOI_EN));
	} while (step(c));
	wrmsr(MSR_KVM_PV_EOI_EN, 0);
}

/* Enabled, at CPL 0 too, page ready as an interrupt. */
#define ASYNC_PF_ON		(1 | 2 | 8)
/* The token of all that wait. */
#define TOKEN_ALL		0xffffffffu

struct async_pf {
	__u32	not_present;
	__u32	ready;
	__u8	pad[56];
	__u32	waits_for;	/* the guest's own: KVM's part is 64 bytes */
	__u8	pad2[60];
} __aligned(64);

static struct async_pf async_pf[GUEST_MAX_CPUS];

static void on_not_present(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	struct async_pf *a = &async_pf[c->index];
	__u64 token, spun = 0;

	asm volatile("movq %%cr2, %0" : "=r"(token));
	if (LOAD(a->not_present) != 1)
		fail("a page fault of its own (CR2, rip)", token, f->rip);
	STORE(a->waits_for, (__u32)token);
	STORE(a->not_present, 0);
	c->count[0]++;
	irqs_on();
	while (LOAD(a->waits_for))
		spun = spin_round(spun, 64);
	irqs_off();
}

static void on_page_ready(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	struct async_pf *a = &async_pf[c->index];
	__u32 token = LOAD(a->ready), waits_for = LOAD(a->waits_for);

	(void)f;
	/* For who does not wait any more it is all that count. */
	if (token != TOKEN_ALL && token != waits_for)
		fail("a page is ready that nobody waits for", waits_for, token);
	c->count[token == TOKEN_ALL ? 2 : 1]++;
	STORE(a->waits_for, 0);
	STORE(a->ready, 0);
	wrmsr(MSR_KVM_ASYNC_PF_ACK, 1);
	apic_eoi();
}

/*
 * Goes round a few pages that are away each time. count[0] pages not present,
 * count[1] told to be ready, count[2] told that all are, as after a handoff.
 */
void guest_async_pf(struct guest_cpu *c)
{
	__u64 ws = GUEST_WS + c->index * shared()->ws_per_cpu, n = 0;
	struct async_pf *a = &async_pf[c->index];

	need(FEATURE_ASYNC_PF, "no async page faults in CPUID");
	need(FEATURE_ASYNC_PF_INT, "no async page faults by interrupt in CPUID");
	on_vector(14, on_not_present);
	on_vector(VEC_PAGE_READY, on_page_ready);
	wrmsr(MSR_KVM_ASYNC_PF_INT, VEC_PAGE_READY);
	wrmsr(MSR_KVM_ASYNC_PF_EN, (__u64)a | ASYNC_PF_ON);
	do {
		__u64 at = ws + (n++ % GUEST_SLOW_PAGES << 12);

		expect("the content of a page that came late", guest_answer(at),
		       LOAD(*(__u64 *)at));
		expect("the async page fault MSR lost", (__u64)a | ASYNC_PF_ON,
		       rdmsr(MSR_KVM_ASYNC_PF_EN));
	} while (step(c));
	wrmsr(MSR_KVM_ASYNC_PF_EN, 0);
	if (n > 2 * GUEST_SLOW_PAGES && !c->count[0])
		fail("no page fault was asynchronous", 1, 0);
}
