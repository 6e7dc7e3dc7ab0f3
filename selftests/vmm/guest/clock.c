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
} __packed;

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

static __u64 kvmclock(struct pvclock *p, __u8 *flags)
{
	__u64 delta, ns;
	__u32 version;

	do {
		version = LOAD(p->version);
		delta = read_tsc() - p->tsc_timestamp;
		if (p->shift >= 0)
			delta <<= p->shift;
		else
			delta >>= -p->shift;
		ns = p->system_time + (delta >> 32) * p->mul +
		     ((delta & 0xffffffff) * p->mul >> 32);
		*flags = p->flags;
	} while ((version & 1) || version != LOAD(p->version));
	return ns;
}

void guest_kvmclock(struct guest_cpu *c)
{
	static __u64 last_any;
	struct pvclock *p = (struct pvclock *)c->pvclock;
	__u64 last = 0, others, now;
	__u8 flags;
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
			now = kvmclock(p, &flags);
			if (now < last)
				fail("kvmclock went backwards", last, now);
			/* Without this flag KVM promises order per vCPU alone. */
			if ((flags & PVCLOCK_STABLE) && now < others)
				fail("kvmclock is behind another vCPU's", others, now);
			if (flags & PVCLOCK_STABLE)
				raise(&last_any, now);
			last = now;
		}
		STORE(c->count[1], now);
		c->count[0] += 500;
		c->count[2] = flags;
		expect("the kvmclock MSR lost", (__u64)p | 1,
		       rdmsr(MSR_KVM_SYSTEM_TIME_NEW));
	} while (step(c));
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, 0);
}
