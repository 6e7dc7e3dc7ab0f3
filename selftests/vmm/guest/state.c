// SPDX-License-Identifier: GPL-2.0-only
/* Guests that hold CPU state and look whether it stays: fpu, debug, hwbp, msr. */
#include "guest.h"

#define XAREA	8192

static __u8 xin[GUEST_MAX_CPUS][XAREA] __aligned(64);
static __u8 xout[GUEST_MAX_CPUS][XAREA] __aligned(64);

static void compare(const char *why, __u8 *in, __u8 *out, __u32 at, __u32 len)
{
	__u32 i;

	for (i = 0; i < len; i += 8)
		expect(why, *(__u64 *)(in + at + i), *(__u64 *)(out + at + i));
}

static void fill(__u8 *p, __u32 len, __u64 *seed)
{
	__u32 i;

	for (i = 0; i < len; i += 8)
		*(__u64 *)(p + i) = random64(seed);
}

static void xgetbv(__u64 *v)
{
	__u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	*v = lo | (__u64)hi << 32;
}

void guest_fpu(struct guest_cpu *c)
{
	/* AVX, opmask, ZMM_Hi256, Hi16_ZMM, PKRU: any contents are valid. */
	static const __u32 comps[] = { 2, 5, 6, 7, 9 };
	__u32 offset[10] = { 0 }, size[10] = { 0 };
	__u8 *in = xin[c->index], *out = xout[c->index];
	__u64 mask = 0, xcr0, seed = 0, cr4;
	__u32 r[4], i, n;

	cpuid(1, 0, r);
	if (r[2] >> 26 & 1) {
		cpuid(0xd, 0, r);
		mask = 3 | (r[0] & 0x2e4);
		if ((mask & 0xe0) != 0xe0)
			mask &= ~0xe0ull;
		if (!(mask & 4))
			mask &= ~0xe0ull;
		asm volatile("movq %%cr4, %0" : "=r"(cr4));
		asm volatile("movq %0, %%cr4" : : "r"(cr4 | 1 << 18));
		asm volatile("xsetbv" : : "c"(0), "a"((__u32)mask), "d"(0));
		for (i = 0; i < ARRAY_SIZE(comps); i++) {
			n = comps[i];
			if (!(mask >> n & 1))
				continue;
			cpuid(0xd, n, r);
			if (r[0] + r[1] > XAREA)
				fail("an XSAVE component beyond the area", XAREA,
				     r[0] + r[1]);
			size[n] = r[0];
			offset[n] = r[1];
		}
	}
	c->count[0] = mask;
	do {
		fill(in + 32, 512 - 32, &seed);
		for (i = 0; i < 32; i += 8)
			*(__u64 *)(in + i) = 0;
		*(__u16 *)(in + 0) = 0x0b7f;	/* FCW: round up, all masked */
		in[4] = 0xff;			/* all eight x87 registers valid */
		*(__u32 *)(in + 24) = 0x5f80;	/* MXCSR: round up, all masked */
		for (i = 0; i < 8; i++) {
			/* 80 bits each, never a format that loads differently */
			__u8 *st = in + 32 + 16 * i;

			*(__u64 *)st |= 1ull << 63;
			*(__u64 *)(st + 8) &= 0x7ffe;
			*(__u64 *)(st + 8) |= 1;
		}
		if (mask) {
			*(__u64 *)(in + 512) = mask;
			for (i = 520; i < 576; i += 8)
				*(__u64 *)(in + i) = 0;
			for (n = 2; n < 10; n++)
				fill(in + offset[n], size[n], &seed);
			if (size[9])
				/* PKRU: key 0 stays usable, the rest is padding */
				*(__u64 *)(in + offset[9]) &= 0xfffffffcull;
			xsave_round(in, out, mask, 20000);
			xgetbv(&xcr0);
			expect("XCR0 lost", mask, xcr0);
			expect("components in use", mask,
			       *(__u64 *)(out + 512) & mask);
		} else {
			fxsave_round(in, out, 0, 20000);
		}
		expect("x87 control word lost", *(__u16 *)in, *(__u16 *)out);
		expect("MXCSR lost", *(__u32 *)(in + 24), *(__u32 *)(out + 24));
		compare("an x87 register lost", in, out, 32, 128);
		compare("an XMM register lost", in, out, 160, 256);
		for (n = 2; n < 10; n++)
			compare(n == 2 ? "the upper half of a YMM register lost" :
				n == 9 ? "PKRU lost" : "AVX-512 state lost",
				in, out, offset[n], size[n]);
	} while (step(c));
}

#define DR(n) \
static __u64 get_dr##n(void) \
{ \
	__u64 v; \
	asm volatile("movq %%db" #n ", %0" : "=r"(v)); \
	return v; \
} \
static void set_dr##n(__u64 v) \
{ \
	asm volatile("movq %0, %%db" #n : : "r"(v) : "memory"); \
}

DR(0) DR(1) DR(2) DR(3) DR(6) DR(7)

void guest_debug(struct guest_cpu *c)
{
	__u64 seed = 0, spun = 0;

	do {
		/* Addresses that nothing touches, so that enabling is harmless. */
		__u64 a[4], dr7, dr6;
		int i;

		for (i = 0; i < 4; i++)
			a[i] = 0x700000000000 + (random64(&seed) & 0xffffffff8);
		/* Every enable and condition but GD and the I/O conditions. */
		dr7 = 0x400 | (random64(&seed) & 0xff);
		for (i = 0; i < 4; i++)
			dr7 |= (__u64)((random64(&seed) & 1) ? 0xd : 0x1) << (16 + 4 * i);
		dr6 = 0xffff0ff0 | (random64(&seed) & 0x600f);
		set_dr0(a[0]);
		set_dr1(a[1]);
		set_dr2(a[2]);
		set_dr3(a[3]);
		set_dr6(dr6);
		set_dr7(dr7);
		spun = spin_round(spun, 20000);
		io_out8(PORT_NOP, 0);
		expect("DR0 lost", a[0], get_dr0());
		expect("DR1 lost", a[1], get_dr1());
		expect("DR2 lost", a[2], get_dr2());
		expect("DR3 lost", a[3], get_dr3());
		expect("DR6 lost", dr6, get_dr6());
		expect("DR7 lost", dr7, get_dr7());
	} while (step(c));
	set_dr7(0x400);
}

static __u64 watched[GUEST_MAX_CPUS];

static void on_debug(struct trap_frame *f)
{
	struct guest_cpu *c = this_cpu();
	__u64 dr6 = get_dr6();

	if (dr6 & 1)
		c->count[0]++;
	if (dr6 & 2) {
		if (f->rip != (__u64)hwbp_target)
			fail("execution breakpoint at the wrong place",
			     (__u64)hwbp_target, f->rip);
		c->count[1]++;
		f->flags |= 1 << 16;	/* RF: past it this time */
	}
	if (!(dr6 & 3))
		fail("a debug exception of no breakpoint (DR6)", 0, dr6);
	set_dr6(0xffff0ff0);
}

void guest_hwbp(struct guest_cpu *c)
{
	__u64 spun = 0, data, exec;
	int has_data, has_exec;

	on_vector(1, on_debug);
	set_dr0((__u64)&watched[c->index]);
	set_dr1((__u64)hwbp_target);
	set_dr6(0xffff0ff0);
	/* 0: write, 8 bytes. 1: execution. Both local. */
	set_dr7(0x400 | 0x5 | 0x9 << 16);
	STORE(watched[c->index], 1);
	hwbp_target();
	/* Before any pass, so it is the CPU that has them or not. */
	has_data = c->count[0];
	has_exec = c->count[1];
	if (!has_data && !has_exec)
		skip("the host's CPU does not raise hardware breakpoints in guests");
	do {
		data = c->count[0];
		exec = c->count[1];
		spun = spin_round(spun, 20000);
		STORE(watched[c->index], spun);
		expect("a data breakpoint did not hit once", data + has_data,
		       c->count[0]);
		hwbp_target();
		expect("an execution breakpoint did not hit once", exec + has_exec,
		       c->count[1]);
	} while (step(c));
	set_dr7(0x400);
}

#define MSR_MAX 64

struct msr_set {
	__u32	n;
	__u32	nr[MSR_MAX];
	__u64	v[MSR_MAX];
};

static struct msr_set msrs[GUEST_MAX_CPUS];

/* Only what the CPU takes and reads back is held; the rest does not exist. */
static void msr_hold(struct msr_set *s, __u32 nr, __u64 v)
{
	__u64 got;

	if (!wrmsr_try(nr, v) || !rdmsr_try(nr, &got))
		return;
	if (s->n == MSR_MAX)
		fail("more MSRs than room", MSR_MAX, s->n);
	s->nr[s->n] = nr;
	s->v[s->n++] = got;
}

static void msr_holds(struct msr_set *s, __u32 nr, __u64 v)
{
	__u32 n = s->n;

	msr_hold(s, nr, v);
	if (s->n == n)
		fail("an MSR that every x86-64 CPU has is missing", nr, 0);
	expect("an MSR did not take its value", v, s->v[n]);
}

void guest_msr(struct guest_cpu *c)
{
	struct msr_set *s = &msrs[c->index];
	__u64 me = c->index + 1, spun = 0, flags, kept, cr, v;
	__u64 cr0, cr4, efer = rdmsr(0xc0000080), base = rdmsr(0x1b);
	int has_aux, b = 0;
	__u32 r[4], i, aux;

	cpuid(0x80000001, 0, r);
	has_aux = r[3] >> 27 & 1;
	msr_holds(s, 0xc0000081, 0x001b000800000000ull | me);	/* STAR */
	msr_holds(s, 0xc0000082, (__u64)syscall_entry_a);	/* LSTAR */
	msr_holds(s, 0xc0000083, 0xffff800012340000ull | me);	/* CSTAR */
	msr_holds(s, 0xc0000084, 0x200 | (me & 1 ? 0x41 : 0x84)); /* SFMASK */
	msr_holds(s, 0xc0000100, 0x00007123456780ull + me);	/* FS_BASE */
	msr_holds(s, 0xc0000102, 0xffff912345670000ull | me);	/* KERNEL_GS_BASE */
	if (has_aux)
		msr_holds(s, 0xc0000103, 0xa5000000 | me);	/* TSC_AUX */
	/* 32 bits: KVM gives SVM guests no more of these. */
	msr_holds(s, 0x174, 0x0018);				/* SYSENTER_CS */
	msr_holds(s, 0x175, 0xa0001000 + me);			/* SYSENTER_ESP */
	msr_holds(s, 0x176, 0xb0002000 + me);			/* SYSENTER_EIP */
	msr_holds(s, 0x277, 0x0007040600070106ull ^ (me & 1));	/* PAT */
	cpuid(1, 0, r);
	if (r[3] >> 12 & 1) {
		static const __u32 fixed[] = {
			0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c,
			0x26d, 0x26e, 0x26f,
		};

		for (i = 0; i < ARRAY_SIZE(fixed); i++)
			msr_holds(s, fixed[i], 0x0606060606060600ull |
				  (i & 1 ? 6 : 5));
		for (i = 0; i < (rdmsr(0xfe) & 0xff); i++) {
			msr_hold(s, 0x200 + 2 * i, (0x80000000ull + i * 0x100000) | 6);
			msr_hold(s, 0x201 + 2 * i, 0xfff00800);
		}
		msr_hold(s, 0x2ff, 0xc06);
	}
	msr_hold(s, 0x3b, 0x1000 * me);		/* TSC_ADJUST */
	msr_hold(s, 0x4b564d05, 0);		/* KVM_POLL_CONTROL */
	msr_hold(s, 0x1a0, rdmsr(0x1a0));	/* MISC_ENABLE */
	asm volatile("movq %0, %%cr8" : : "r"(me));
	asm volatile("movq %0, %%cr2" : : "r"(0xdead0000 + me));
	asm volatile("movq %%cr0, %0" : "=r"(cr0));
	asm volatile("movq %%cr4, %0" : "=r"(cr4));
	c->count[0] = s->n;
	/* QEMU's software emulation clears them all; a CPU keeps the unmasked. */
	wrmsr(0xc0000084, 0);
	do_syscall(&kept);
	irqs_on();
	wrmsr(0xc0000084, s->v[3]);
	do {
		STORE(c->count[1], b);
		v = b ? (__u64)syscall_entry_b : (__u64)syscall_entry_a;
		wrmsr(0xc0000082, v);
		s->v[1] = v;
		spun = spin_round(spun, 20000);
		v = do_syscall(&flags);
		irqs_on();
		expect("SYSCALL entered elsewhere: LSTAR lost",
		       b ? 0xbbbb : 0xaaaa, v);
		expect("flags at SYSCALL: SFMASK lost", kept & ~s->v[3], flags);
		if (has_aux) {
			asm volatile("rdtscp" : "=c"(aux) : : "rax", "rdx");
			expect("RDTSCP: TSC_AUX lost", 0xa5000000 | me, aux);
		}
		for (i = 0; i < s->n; i++) {
			v = rdmsr(s->nr[i]);
			if (v != s->v[i]) {
				c->where = s->nr[i];
				c->count[5] = s->nr[i];
				fail("an MSR lost (its number is in count[5])",
				     s->v[i], v);
			}
		}
		expect("EFER lost", efer, rdmsr(0xc0000080));
		expect("APIC base lost", base, rdmsr(0x1b));
		asm volatile("movq %%cr0, %0" : "=r"(cr));
		expect("CR0 lost", cr0, cr);
		asm volatile("movq %%cr2, %0" : "=r"(cr));
		expect("CR2 lost", 0xdead0000 + me, cr);
		asm volatile("movq %%cr4, %0" : "=r"(cr));
		expect("CR4 lost", cr4, cr);
		asm volatile("movq %%cr8, %0" : "=r"(cr));
		expect("CR8 lost", me, cr);
		b = !b;
	} while (step(c));
}
