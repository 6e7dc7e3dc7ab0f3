// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guests about time: tsc, kvmclock. count[0] is the reads done, tsc_first and
 * tsc_now are for the VMM's own comparison with the host's TSC.
 */
#include "guest.h"

#define MSR_KVM_SYSTEM_TIME_NEW	0x4b564d01
#define MSR_KVM_WALL_CLOCK_NEW	0x4b564d00
#define PVCLOCK_STABLE		1

struct pvclock {
	__u32	version;
	__u32	pad0;
	__u64	tsc_timestamp;
	__u64	system_time;
	__u32	mul;
	__s8	shift;
	__u8	flags;
	__u8	pad[2];
};

static __u64 raise(__u64 *last, __u64 now)
{
	__u64 old = LOAD(*last);

	while (old < now)
		if (__atomic_compare_exchange_n(last, &old, now, 0,
						__ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			break;
	return old;
}

void guest_tsc(struct guest_cpu *c)
{
	__u64 last = read_tsc(), others, now;
	int i;

	c->tsc_first = last;
	do {
		for (i = 0; i < 500; i++) {
			others = LOAD(shared()->tsc_last);
			now = read_tsc();
			if (now < last)
				fail("the TSC went backwards", last, now);
			if (now < others)
				fail("the TSC is behind another vCPU's", others, now);
			raise(&shared()->tsc_last, now);
			last = now;
		}
		STORE(c->tsc_now, now);
		c->count[0] += 500;
	} while (step(c));
}

/* What a reading of the clock came from. */
struct reading {
	__u64	ns;
	__u64	tsc;
	__u64	tsc_timestamp;
	__u64	system_time;
	__u8	flags;
};

static void kvmclock(struct pvclock *p, struct reading *r)
{
	__u32 version, mul;
	__u64 delta;
	__s8 shift;

	do {
		version = LOAD(p->version);
		r->tsc_timestamp = LOAD(p->tsc_timestamp);
		r->system_time = LOAD(p->system_time);
		mul = LOAD(p->mul);
		shift = LOAD(p->shift);
		r->flags = LOAD(p->flags);
		r->tsc = read_tsc();
	} while ((version & 1) || version != LOAD(p->version));
	delta = r->tsc - r->tsc_timestamp;
	if (shift >= 0)
		delta <<= shift;
	else
		delta >>= -shift;
	r->ns = r->system_time + (delta >> 32) * mul +
		((delta & 0xffffffff) * mul >> 32);
}

static void __noreturn went_back(const struct reading *last,
				 const struct reading *now)
{
	struct guest_cpu *c = this_cpu();

	c->count[5] = last->tsc;
	c->count[6] = last->tsc_timestamp;
	c->count[7] = last->system_time;
	fail("kvmclock went backwards (extra: TSC, timestamp, system time before)",
	     last->ns, now->ns);
}

void guest_kvmclock(struct guest_cpu *c)
{
	static __u64 last_any;
	struct pvclock *p = (struct pvclock *)c->pvclock;
	struct reading last = { 0 }, now;
	__u64 others;
	__u32 r[4];
	int i;

	cpuid(0x40000000, 0, r);
	if (r[1] != 0x4b4d564b)
		skip("no KVM signature in CPUID");
	cpuid(0x40000001, 0, r);
	if (!(r[0] >> 3 & 1))
		skip("no kvmclock MSR in CPUID");
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (__u64)p | 1);
	if (!LOAD(p->version))
		fail("kvmclock was enabled and its page stays empty", 1, 0);
	do {
		for (i = 0; i < 500; i++) {
			others = LOAD(last_any);
			kvmclock(p, &now);
			if (now.ns < last.ns)
				went_back(&last, &now);
			/* Without this flag KVM promises order per vCPU alone. */
			if ((now.flags & PVCLOCK_STABLE) && now.ns < others)
				fail("kvmclock is behind another vCPU's", others,
				     now.ns);
			if (now.flags & PVCLOCK_STABLE)
				raise(&last_any, now.ns);
			last = now;
		}
		STORE(c->count[1], now.ns);
		c->count[0] += 500;
		c->count[2] = now.flags;
		expect("the kvmclock MSR lost", (__u64)p | 1,
		       rdmsr(MSR_KVM_SYSTEM_TIME_NEW));
	} while (step(c));
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, 0);
}
