/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every guest can use: its page, failure, interrupts, the local APIC.
 * Guests run at CPL 0 and start with interrupts on; they use no
 * floating point outside start.S.
 */
#ifndef VMM_GUEST_H
#define VMM_GUEST_H

#include "abi.h"

#define LOAD(x)		__atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v)	__atomic_store_n(&(x), (v), __ATOMIC_RELEASE)

#define APIC_ID		0x020
#define APIC_TPR	0x080
#define APIC_EOI	0x0b0
#define APIC_SVR	0x0f0
#define APIC_IRR	0x200
#define APIC_ICR	0x300
#define APIC_ICR2	0x310
#define APIC_LVTT	0x320
#define APIC_LVT0	0x350
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0

#define LVT_MASKED	0x10000
#define LVT_PERIODIC	0x20000
#define LVT_DEADLINE	0x40000

#define MSR_TSC_DEADLINE 0x6e0

struct trap_frame {
	__u64	r15, r14, r13, r12, r11, r10, r9, r8;
	__u64	rbp, rdi, rsi, rdx, rcx, rbx, rax;
	__u64	vec, err;
	__u64	rip, cs, flags, rsp, ss;
};

static inline struct guest_shared *shared(void)
{
	return (struct guest_shared *)GUEST_SHARED;
}

static inline struct guest_cpu *cpu_page(unsigned int n)
{
	return (struct guest_cpu *)(unsigned long)GUEST_CPU(n);
}

static inline struct guest_cpu *this_cpu(void)
{
	struct guest_cpu *c;

	asm volatile("movq %%gs:0, %0" : "=r"(c));
	return c;
}

static inline void io_out8(__u16 port, __u8 v)
{
	asm volatile("outb %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void io_out16(__u16 port, __u16 v)
{
	asm volatile("outw %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline void io_out32(__u16 port, __u32 v)
{
	asm volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}

static inline __u8 io_in8(__u16 port)
{
	__u8 v;

	asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline __u16 io_in16(__u16 port)
{
	__u16 v;

	asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline __u32 io_in32(__u16 port)
{
	__u32 v;

	asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port) : "memory");
	return v;
}

static inline void cpuid(__u32 leaf, __u32 sub, __u32 r[4])
{
	asm volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3])
		     : "a"(leaf), "c"(sub));
}

static inline __u64 rdmsr(__u32 msr)
{
	__u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr) : "memory");
	return lo | (__u64)hi << 32;
}

static inline void wrmsr(__u32 msr, __u64 v)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((__u32)v), "d"((__u32)(v >> 32))
		     : "memory");
}

/* Ordered after the loads before it, or values of other vCPUs look newer. */
static inline __u64 read_tsc(void)
{
	__u32 lo, hi;

	asm volatile("lfence; rdtsc; lfence" : "=a"(lo), "=d"(hi) : : "memory");
	return lo | (__u64)hi << 32;
}

static inline void irqs_off(void)
{
	asm volatile("cli" : : : "memory");
}

static inline void irqs_on(void)
{
	asm volatile("sti; nop" : : : "memory");
}

/*
 * For who waits with interrupts on: Bochs' SVM can hold a virtual interrupt back
 * until IF changes (Documentation/test-hosts.rst).
 */
static inline void irqs_off_on(void)
{
	asm volatile("cli; sti; nop" : : : "memory");
}

/* Interrupts are off when the condition was looked at; STI covers the HLT. */
static inline void halt_until_irq(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

static inline void pause(void)
{
	asm volatile("pause" : : : "memory");
}

/** fail(): stop this vCPU for good and say why; want and got are shown in hex */
void __noreturn fail(const char *why, __u64 want, __u64 got);

/** skip(): this CPU lacks what the guest is about */
void __noreturn skip(const char *why);

/** expect(): fail unless both are equal */
static inline void expect(const char *why, __u64 want, __u64 got)
{
	if (want != got)
		fail(why, want, got);
}

/** on_vector(): handler for a vector, for all vCPUs */
void on_vector(unsigned int vec, void (*handler)(struct trap_frame *f));

/**
 * take_masked(): the host may deliver interrupts while they are off, each once: the
 * handlers of all vectors can do with it
 */
void take_masked(void);

/** step(): one unit of progress; returns 0 once the VMM asked to stop */
int step(struct guest_cpu *c);

/** msr_try(): read or write an MSR that may not exist; 0 when it does not */
int rdmsr_try(__u32 msr, __u64 *v);
int wrmsr_try(__u32 msr, __u64 v);

__u32 apic_read(__u32 reg);
void apic_write(__u32 reg, __u32 v);
void apic_eoi(void);
/** apic_ipi(): fixed interrupt to a vCPU; 1 << 14 and mode bits come with vec */
void apic_ipi(__u32 cpu, __u32 vec_and_mode);
/** ns_to_tsc(): by the frequency that KVM reports */
__u64 ns_to_tsc(__u64 ns);
/** random64(): cheap and different on every vCPU */
__u64 random64(__u64 *state);

/* start.S */
extern char trap_stubs[];
extern __u64 guest_gdt[];
void guest_main(__u64 index);
void on_trap(struct trap_frame *f);
__u64 spin_round(__u64 from, __u64 n);
void xsave_round(void *in, void *out, __u64 mask, __u64 spins);
void fxsave_round(void *in, void *out, __u64 unused, __u64 spins);
__u64 do_syscall(__u64 *flags);
void syscall_entry_a(void);
void syscall_entry_b(void);
void hwbp_target(void);
void regs_round(void *frame_from_in);

/* The guests; each returns when step() says so. */

void guest_spin(struct guest_cpu *c);
void guest_regs(struct guest_cpu *c);
void guest_timer_oneshot(struct guest_cpu *c);
void guest_timer_periodic(struct guest_cpu *c);
void guest_timer_deadline(struct guest_cpu *c);
void guest_timer_x2apic(struct guest_cpu *c);
void guest_pit(struct guest_cpu *c);
void guest_mem(struct guest_cpu *c);
void guest_fpu(struct guest_cpu *c);
void guest_debug(struct guest_cpu *c);
void guest_hwbp(struct guest_cpu *c);
void guest_msr(struct guest_cpu *c);
void guest_tsc(struct guest_cpu *c);
void guest_kvmclock(struct guest_cpu *c);
void guest_steal(struct guest_cpu *c);
void guest_hlt(struct guest_cpu *c);
void guest_pio(struct guest_cpu *c);
void guest_mmio(struct guest_cpu *c);
void guest_stream(struct guest_cpu *c);
void guest_ipi(struct guest_cpu *c);
void guest_ipi_x2apic(struct guest_cpu *c);
void guest_irqfd_msi(struct guest_cpu *c);
void guest_irqfd_pin(struct guest_cpu *c);
void guest_irqfd_level(struct guest_cpu *c);
void guest_pending(struct guest_cpu *c);
void guest_nmi(struct guest_cpu *c);
void guest_pv_eoi(struct guest_cpu *c);
void guest_async_pf(struct guest_cpu *c);
void guest_hv_timer(struct guest_cpu *c);
void guest_hv_clock(struct guest_cpu *c);
void guest_hv_event(struct guest_cpu *c);
void guest_hv_sint(struct guest_cpu *c);
void guest_posted(struct guest_cpu *c);
void guest_nvme(struct guest_cpu *c);
void guest_edu(struct guest_cpu *c);
void guest_e1000e(struct guest_cpu *c);
void guest_work_nvme(struct guest_cpu *c);
void guest_work_rings(struct guest_cpu *c);
void guest_work_edu(struct guest_cpu *c);
void guest_work_e1000e(struct guest_cpu *c);
void guest_dirty(struct guest_cpu *c);
void guest_bench(struct guest_cpu *c);
#endif
