// SPDX-License-Identifier: GPL-2.0-only
/*
 * Start of a vCPU, traps, local APIC, failure: all that is not a guest itself.
 */
#include "guest.h"

#define GDT_TSS(n)	(4 + 2 * (n))
#define STACK_NMI	0x8000

struct idt_entry {
	__u16	lo, sel, attr, mid;
	__u32	hi, zero;
};

struct tss {
	__u32	pad;
	__u32	stacks[25];
};

struct table {
	__u16	limit;
	__u64	base;
} __packed;

static struct idt_entry idt[256] __aligned(4096);
static struct tss tss[GUEST_MAX_CPUS] __aligned(128);
static void (*handlers[256])(struct trap_frame *f);
static __u32 masked;

static void (*const guests[])(struct guest_cpu *c) = {
#define GUEST(name, needs, about) guest_##name,
#include "list.h"
#undef GUEST
};

void fail(const char *why, __u64 want, __u64 got)
{
	struct guest_cpu *c = this_cpu();

	irqs_off();
	c->want = want;
	c->got = got;
	c->where = (__u64)__builtin_return_address(0);
	STORE(c->fail, (__u64)why);
	for (;;) {
		io_out8(PORT_FAIL, 0);
		asm volatile("cli; hlt");
	}
}

void skip(const char *why)
{
	struct guest_cpu *c = this_cpu();

	STORE(c->skip, (__u64)why);
	STORE(c->done, 1);
	for (;;)
		asm volatile("cli; hlt");
}

void on_vector(unsigned int vec, void (*handler)(struct trap_frame *f))
{
	STORE(handlers[vec], handler);
}

void take_masked(void)
{
	STORE(masked, 1);
}

int step(struct guest_cpu *c)
{
	STORE(c->progress, c->progress + 1);
	return !LOAD(shared()->stop);
}

void on_trap(struct trap_frame *f)
{
	void (*handler)(struct trap_frame *f) = LOAD(handlers[f->vec]);
	struct guest_cpu *c = this_cpu();
	__u64 cr2;

	if (f->vec == 13 && c->fixup) {
		f->rip = c->fixup;
		f->rax = 0;
		c->fixup = 0;
		return;
	}
	/*
	 * Delivered although interrupts are off: the handler that it interrupts has
	 * this very interrupt in hand. QEMU's software emulation now and then
	 * reports an injected interrupt as not delivered that was, and KVM injects it
	 * again. It is counted and dropped there, and a failure on any other CPU.
	 */
	if (f->vec >= 32 && !(f->flags & 0x200)) {
		c->twice++;
		if (LOAD(masked)) {
			handler(f);
			return;
		}
		if (!shared()->host_tcg)
			fail("an interrupt while interrupts were off (vector, rip)",
			     f->vec, f->rip);
		return;
	}
	if (handler) {
		handler(f);
		return;
	}
	asm volatile("movq %%cr2, %0" : "=r"(cr2));
	c->count[6] = f->err;
	c->count[7] = cr2;
	fail("a trap that nothing should raise (vector, rip)", f->vec, f->rip);
}

/* RAX tells: 1 from the path without a fault, 0 from on_trap(). */
int rdmsr_try(__u32 msr, __u64 *v)
{
	struct guest_cpu *c = this_cpu();
	__u64 ok, lo, hi;

	asm volatile("leaq 1f(%%rip), %%rax\n\t"
		     "movq %%rax, %3\n\t"
		     "rdmsr\n\t"
		     "movq %%rax, %%rbx\n\t"
		     "movl $1, %%eax\n"
		     "1:"
		     : "=&a"(ok), "=&b"(lo), "=&d"(hi), "+m"(c->fixup)
		     : "c"(msr) : "memory");
	c->fixup = 0;
	if (!ok)
		return 0;
	*v = (__u32)lo | hi << 32;
	return 1;
}

int wrmsr_try(__u32 msr, __u64 v)
{
	struct guest_cpu *c = this_cpu();
	__u64 ok;

	asm volatile("leaq 1f(%%rip), %%rax\n\t"
		     "movq %%rax, %1\n\t"
		     "movl %k3, %%eax\n\t"
		     "wrmsr\n\t"
		     "movl $1, %%eax\n"
		     "1:"
		     : "=&a"(ok), "+m"(c->fixup)
		     : "c"(msr), "r"(v), "d"(v >> 32) : "memory");
	c->fixup = 0;
	return (int)ok;
}

__u32 apic_read(__u32 reg)
{
	if (shared()->x2apic)
		return rdmsr(0x800 + (reg >> 4));
	return LOAD(*(__u32 *)(0xfee00000ul + reg));
}

void apic_write(__u32 reg, __u32 v)
{
	if (shared()->x2apic)
		wrmsr(0x800 + (reg >> 4), v);
	else
		STORE(*(__u32 *)(0xfee00000ul + reg), v);
}

void apic_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void apic_ipi(__u32 cpu, __u32 vec_and_mode)
{
	if (shared()->x2apic) {
		wrmsr(0x830, (__u64)cpu << 32 | vec_and_mode);
		return;
	}
	apic_write(APIC_ICR2, cpu << 24);
	apic_write(APIC_ICR, vec_and_mode);
}

__u64 ns_to_tsc(__u64 ns)
{
	return ns * shared()->tsc_khz / 1000000;
}

__u64 random64(__u64 *state)
{
	if (!*state)
		*state = 0x9e3779b97f4a7c15ull * (this_cpu()->index + 1);
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void on_spurious(struct trap_frame *f)
{
	(void)f;
}

static void load_tables(__u64 index)
{
	struct table gdtr = { (4 + 16) * 8 - 1, (__u64)guest_gdt };
	struct table idtr = { sizeof(idt) - 1, (__u64)idt };
	__u64 base = (__u64)&tss[index];
	__u64 nmi = GUEST_STACK_TOP(index) - STACK_NMI;
	unsigned int i;

	/* RSP0 at 0, IST1 at word 8: the NMI handler has its own stack. */
	tss[index].stacks[8] = (__u32)nmi;
	guest_gdt[GDT_TSS(index)] = 0x0000890000000067ull |
		(base & 0xffffff) << 16 | (base >> 24 & 0xff) << 56;
	guest_gdt[GDT_TSS(index) + 1] = base >> 32;
	for (i = 0; i < 256; i++) {
		__u64 to = (__u64)trap_stubs + i * 16;

		idt[i].lo = (__u16)to;
		idt[i].sel = 8;
		idt[i].attr = 0x8e00 | (i == 2);
		idt[i].mid = (__u16)(to >> 16);
		idt[i].hi = (__u32)(to >> 32);
	}
	/*
	 * All pages that the delivery of an interrupt needs are present before
	 * the first one: Bochs gets a page fault of the second level during
	 * delivery wrong.
	 */
	(void)LOAD(*(__u64 *)(nmi - 8));
	asm volatile("lgdt %0; lidt %1; ltr %w2"
		     : : "m"(gdtr), "m"(idtr), "r"(GDT_TSS(index) * 8));
}

void guest_main(__u64 index)
{
	struct guest_cpu *c = cpu_page(index);

	if (c->self != (__u64)c || this_cpu() != c || c->index != index)
		fail("entered with the wrong CPU page", index, c->index);
	if (c->started++)
		fail("started a second time", 1, c->started);
	load_tables(index);
	on_vector(VEC_SPURIOUS, on_spurious);
	if (shared()->x2apic) {
		__u32 r[4];

		cpuid(1, 0, r);
		if (!(r[2] >> 21 & 1))
			skip("the vCPU has no x2APIC");
		wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
	}
	apic_write(APIC_SVR, 0x100 | VEC_SPURIOUS);
	/*
	 * Guests run with interrupts on wherever they can: Bochs takes no exit for
	 * the host's interrupts while a guest has them off.
	 */
	irqs_on();
	guests[shared()->guest](c);
	STORE(c->done, 1);
	/* Interrupts of others still arrive and are still counted. */
	for (;;)
		asm volatile("sti; hlt");
}
