// SPDX-License-Identifier: GPL-2.0-only
/* vmm-kept: what KVM keeps of a VM and does not tell is there after a move. */
#include <errno.h>
#include <linux/kvm_core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <kselftest.h>
#include "kept.h"
#include "mini.h"
#include "vmm.h"

static const char usage[] =
"usage: vmm-kept INSTANCE OTHER\n"
"\n"
"Puts into VMs on INSTANCE what KVM's index of MSRs does not list, capabilities that\n"
"add up, requests that wait for KVM_RUN. Has the VMs moved to OTHER, and looks at what\n"
"it has become by what the guest or KVM_GET_* sees. TAP output.\n";

#define PVCLOCK		0x8000
#define PVCLOCK_FLAGS	29		/* in struct pvclock_vcpu_time_info */
#define PVCLOCK_GUEST_STOPPED 2
#define PVCLOCK_TSC_STABLE 1
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define MSR_TSC_ADJUST	0x3b
#define HV_CRASH_CTL	0x40000105
#define HV_RESET	0x40000003
#define APIC_ID		0x20
#define APIC_LVT0	0x350

void kept_end(struct mini *m, const char *what)
{
	mini_end(m);
	if (!m->ok)
		ksft_print_msg("%s\n", m->why);
	ksft_test_result(m->ok, "%s\n", what);
	fflush(stdout);
}

void kept_skip(const char *what, const char *why)
{
	ksft_test_result_skip("%s: %s\n", what, why);
}

bool kept_is_amd(void)
{
	return strstr(mini_names[0], "amd");
}

static const struct {
	__u32	msr;
	char	must;		/* KVM keeps it on any intel, amd, or both */
	__u64	flip;
} msrs[] = {
	/* Most of them no index lists; of Hyper-V reenlightenment. */
	{ 0x8c, 'i', 0x1234 }, { 0x8d, 'i', 0x2345 },
	{ 0x8e, 'i', 0x3456 }, { 0x8f, 'i', 0x4567 },
	{ 0xe1, 'i', 0x1234567c },
	{ 0x122, 0, 1 },
	{ 0x1d9, 0, 1 },
	{ 0x206, 'b', 0x1000 }, { 0x26f, 'b', 6 },
	{ 0x280, 'i', 1 << 30 }, { 0x289, 'i', 0x7fff },
	{ 0x41d, 'b', 0x77 },
	{ 0xda0, 0, 1 << 11 },
	{ 0xc0010114, 'a', 0x10 },
	{ 0xc0010140, 'b', 3 }, { 0xc0010141, 'b', 5 },
	{ 0xc0011029, 'a', 2 },
	{ 0x40000106, 'b', 0x1000100ef }, { 0x40000107, 'b', 1 }, { 0x40000108, 'b', 1 },
};

static void test_msrs(void)
{
	__u64 mcg_cap = 10 | 1 << 8;
	__u64 was, now, value[ARRAY_SIZE(msrs)];
	bool changed[ARRAY_SIZE(msrs)] = { 0 };
	unsigned int i, n = 0;
	struct mini m;
	int to;

	mini_begin(&m);
	mini_slot(&m, 0, 0, 0, MINI_MEM, m.mem);
	mini_vcpu(&m, 0);
	if (!kept_is_amd())
		mcg_cap |= 1 << 10;		/* CMCI: MCi_CTL2 */
	mini_ioctl(&m, m.vcpu[0], KVM_X86_SETUP_MCE, &mcg_cap, "KVM_X86_SETUP_MCE");
	for (i = 0; m.ok && i < ARRAY_SIZE(msrs); i++) {
		__u32 msr = msrs[i].msr;
		char must = msrs[i].must;

		changed[i] = mini_msr_get(&m, msr, &was) &&
			     mini_msr_set(&m, msr, was ^ msrs[i].flip) &&
			     mini_msr_get(&m, msr, &value[i]) && value[i] != was;
		n += changed[i];
		if (!changed[i] &&
		    (must == 'b' || must == (kept_is_amd() ? 'a' : 'i'))) {
			snprintf(m.why, sizeof(m.why), "MSR %#x took nothing", msr);
			m.ok = false;
		}
	}
	ksft_print_msg("%u of %u MSRs changed\n", n, i);
	for (to = 1; to >= 0; to--) {
		mini_move(&m, to);
		for (i = 0; m.ok && i < ARRAY_SIZE(msrs); i++) {
			if (!changed[i])
				continue;
			now = ~value[i];
			mini_msr_get(&m, msrs[i].msr, &now);
			if (now == value[i])
				continue;
			snprintf(m.why, sizeof(m.why),
				 "on %s MSR %#x is %#llx and was %#llx", mini_names[to],
				 msrs[i].msr, now, value[i]);
			m.ok = false;
		}
	}
	kept_end(&m, "MSRs that userspace has set");
}

static void test_clock_stopped(void)
{
	const __u8 *flags;
	struct mini m;

	mini_begin(&m);
	mini_boot(&m, code_out, sizeof(code_out));
	flags = (__u8 *)m.mem + PVCLOCK + PVCLOCK_FLAGS;
	if (!mini_msr_set(&m, MSR_KVM_SYSTEM_TIME_NEW, PVCLOCK | 1))
		mini_fail(&m, "kvmclock");
	mini_run(&m, 0, KVM_EXIT_IO, "first run");
	mini_complete(&m, 0);
	if (m.ok && *flags & PVCLOCK_GUEST_STOPPED)
		mini_fail(&m, "the guest was told already");
	mini_ioctl(&m, m.vcpu[0], KVM_KVMCLOCK_CTRL, NULL, "KVM_KVMCLOCK_CTRL");
	mini_move(&m, 1);
	mini_run(&m, 0, KVM_EXIT_IO, "run after the move");
	if (m.ok && !(*flags & PVCLOCK_GUEST_STOPPED)) {
		errno = 0;
		mini_fail(&m, "the guest was not told that it was stopped");
	}
	kept_end(&m, "KVM_KVMCLOCK_CTRL before a move");
}

static void debug(struct mini *m, __u32 control)
{
	struct kvm_guest_debug dbg = { .control = control };

	mini_ioctl(m, m->vcpu[0], KVM_SET_GUEST_DEBUG, &dbg, "KVM_SET_GUEST_DEBUG");
}

/* One instruction of one byte, as KVM says. */
static void step(struct mini *m, __u64 to, const char *what)
{
	mini_run(m, 0, KVM_EXIT_DEBUG, what);
	if (m->ok && m->run[0]->debug.arch.pc != to) {
		snprintf(m->why, sizeof(m->why), "%s: RIP %#llx, expected was %#llx",
			 what, m->run[0]->debug.arch.pc, to);
		m->ok = false;
	}
}

static void test_step(void)
{
	__u8 code[8 + sizeof(code_out)];
	struct mini m;

	memset(code, 0x90, 8);
	memcpy(code + 8, code_out, sizeof(code_out));
	mini_begin(&m);
	mini_boot(&m, code, sizeof(code));
	debug(&m, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	step(&m, MINI_CODE + 1, "step before a move");
	step(&m, MINI_CODE + 2, "second step before a move");
	/* The trace flag is on its way, at another address than it was asked for. */
	mini_move(&m, 1);
	step(&m, MINI_CODE + 3, "step after a move");
	/* Asked for, and nothing has run. */
	debug(&m, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	mini_move(&m, 0);
	step(&m, MINI_CODE + 4, "step asked for before a move");
	debug(&m, 0);
	mini_move(&m, 1);
	mini_run(&m, 0, KVM_EXIT_IO, "no step");
	kept_end(&m, "single step");
}

static void test_kicked(void)
{
	/* As KVM_HC_KICK_CPU does it: a message of type 3 to APIC 1. */
	struct kvm_msi kick = { .address_lo = 0xfee01000, .data = 0x300 };
	__u8 code[1 + sizeof(code_out)] = { 0xf4 };
	struct mini m;
	int i;

	memcpy(code + 1, code_out, sizeof(code_out));
	mini_begin(&m);
	mini_ioctl(&m, m.fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	mini_boot(&m, code, sizeof(code));
	mini_vcpu(&m, 1);
	mini_lapic(&m, 1);
	for (i = 0; i < 3; i++) {
		char what[40];

		if (m.ok && ioctl(m.fd, KVM_SIGNAL_MSI, &kick) != 1)
			mini_fail(&m, "KVM_SIGNAL_MSI");
		if (i)
			mini_move(&m, i & 1);
		snprintf(what, sizeof(what), "HLT behind a kick and %d moves", i);
		mini_run(&m, 1, KVM_EXIT_IO, what);
		mini_complete(&m, 1);
		mini_entry(&m, 1);
	}
	kept_end(&m, "a kick before the HLT that it is for");
}

/* Writes an MSR, then as code_out. */
struct code_wrmsr {
	__u8 op0[2]; __u32 ecx;
	__u8 op1[2]; __u32 eax;
	__u8 op2[2]; __u32 edx;
	__u8 wrmsr[2];
	__u8 out[sizeof(code_out)];
} __packed;

#define CODE_WRMSR(msr, low, high) {					\
	{ 0x66, 0xb9 }, msr, { 0x66, 0xb8 }, low, { 0x66, 0xba }, high,	\
	{ 0x0f, 0x30 }, { 0xe6, PORT, 0xeb, 0xfc },			\
}

/* WRMSR of a Hyper-V register leaves a request, and the step an exit before it. */
static void hv_request(__u32 msr, __u32 low, __u32 high, __u32 type, const char *name)
{
	const struct code_wrmsr code = CODE_WRMSR(msr, low, high);
	struct mini m;

	mini_begin(&m);
	mini_boot(&m, &code, sizeof(code));
	mini_cpuid(&m, 0, true);
	debug(&m, KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP);
	step(&m, MINI_CODE + 6, "ECX");
	step(&m, MINI_CODE + 12, "EAX");
	step(&m, MINI_CODE + 18, "EDX");
	step(&m, MINI_CODE + 20, "WRMSR");
	debug(&m, 0);
	mini_move(&m, 1);
	mini_run(&m, 0, KVM_EXIT_SYSTEM_EVENT, name);
	if (m.ok && m.run[0]->system_event.type != type) {
		snprintf(m.why, sizeof(m.why), "%s: system event %u", name,
			 m.run[0]->system_event.type);
		m.ok = false;
	}
	kept_end(&m, name);
}

static void test_hv_reset(void)
{
	hv_request(HV_RESET, 1, 0, KVM_SYSTEM_EVENT_RESET,
		   "HV_X64_MSR_RESET, before its exit");
}

static void test_hv_crash(void)
{
	hv_request(HV_CRASH_CTL, 0, 1u << 31, KVM_SYSTEM_EVENT_CRASH,
		   "HV_X64_MSR_CRASH_CTL, before its exit");
}

static void test_exits(void)
{
	__u8 code[1 + sizeof(code_out)] = { 0xf4 };
	struct mini m;
	int i;

	memcpy(code + 1, code_out, sizeof(code_out));
	mini_begin(&m);
	mini_cap(&m, m.fd, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT);
	mini_cap(&m, m.fd, KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_PAUSE);
	mini_boot(&m, code, sizeof(code));
	for (i = 0; i < 3; i++) {
		char what[40];

		snprintf(what, sizeof(what), "HLT after %d moves", i);
		if (i)
			mini_move(&m, i & 1);
		mini_entry(&m, 0);
		mini_run(&m, 0, KVM_EXIT_IO, what);
		mini_complete(&m, 0);
	}
	kept_end(&m, "exits for HLT, then for PAUSE, disabled");
}

static __u32 lapic_reg(struct mini *m, int n, unsigned int reg)
{
	struct kvm_lapic_state l = { 0 };
	__u32 value;

	mini_ioctl(m, m->vcpu[n], KVM_GET_LAPIC, &l, "KVM_GET_LAPIC");
	memcpy(&value, l.regs + reg, sizeof(value));
	return value;
}

static void test_x2apic(void)
{
	struct kvm_sregs s;
	struct mini m;
	__u32 was, is;

	mini_begin(&m);
	mini_cap(&m, m.fd, KVM_CAP_SPLIT_IRQCHIP, 24);
	mini_cap(&m, m.fd, KVM_CAP_X2APIC_API, KVM_X2APIC_API_USE_32BIT_IDS);
	mini_cap(&m, m.fd, KVM_CAP_X2APIC_API,
		 KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	mini_boot(&m, code_out, sizeof(code_out));
	mini_vcpu(&m, 1);
	mini_ioctl(&m, m.vcpu[1], KVM_GET_SREGS, &s, "KVM_GET_SREGS");
	s.apic_base |= 0xc00;
	mini_ioctl(&m, m.vcpu[1], KVM_SET_SREGS, &s, "x2APIC mode");
	was = lapic_reg(&m, 1, APIC_ID);
	mini_move(&m, 1);
	is = lapic_reg(&m, 1, APIC_ID);
	if (m.ok && (was != 1 || is != 1)) {
		snprintf(m.why, sizeof(m.why), "APIC ID %#x was %#x", is, was);
		m.ok = false;
	}
	kept_end(&m, "x2APIC IDs of 32 bits, then without broadcast quirk");
}

static void test_quirks(void)
{
	struct mini m;
	__u32 lvt0;

	mini_begin(&m);
	mini_cap(&m, m.fd, KVM_CAP_SPLIT_IRQCHIP, 24);
	mini_cap(&m, m.fd, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_LINT0_REENABLED);
	mini_cap(&m, m.fd, KVM_CAP_DISABLE_QUIRKS, 0);
	mini_cap(&m, m.fd, KVM_CAP_DISABLE_QUIRKS2, KVM_X86_QUIRK_LINT0_REENABLED);
	mini_slot(&m, 0, 0, 0, MINI_MEM, m.mem);
	mini_move(&m, 1);
	/* What a new vCPU has in LVT0 tells the quirk. */
	mini_vcpu(&m, 0);
	lvt0 = lapic_reg(&m, 0, APIC_LVT0);
	if (m.ok && lvt0 != 0x10000) {
		snprintf(m.why, sizeof(m.why), "LVT0 is %#x: the quirk is back", lvt0);
		m.ok = false;
	}
	kept_end(&m, "a quirk disabled, enabled and disabled");
}

static void logged(struct mini *m, __u32 slot, __u64 first, __u64 second,
		   const char *when)
{
	__u64 bits[2] = { 0 };
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bits };

	mini_ioctl(m, m->fd, KVM_GET_DIRTY_LOG, &log, "KVM_GET_DIRTY_LOG");
	if (!m->ok || (bits[0] == first && bits[1] == second))
		return;
	snprintf(m->why, sizeof(m->why),
		 "slot %u, %s: dirty are %#llx %#llx, expected was %#llx %#llx", slot,
		 when, bits[0], bits[1], first, second);
	m->ok = false;
}

static void test_initially_set(void)
{
	/* mov [0x9000], ax, with DS 0: page 9; then as code_out */
	static const __u8 code[] = { 0xa3, 0x00, 0x90, 0xe6, PORT, 0xeb, 0xfc };
	__u64 ones = ~0ull, page;
	struct kvm_clear_dirty_log clear = {
		.num_pages = 64,
		.dirty_bitmap = &ones,
	};
	struct kvm_sregs s;
	struct mini m;
	char *more;

	more = mmap(NULL, MINI_MEM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		    -1, 0);
	mini_begin(&m);
	mini_cap(&m, m.fd, KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		 KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET);
	memcpy(m.mem + MINI_CODE, code, sizeof(code));
	mini_slot(&m, 0, KVM_MEM_LOG_DIRTY_PAGES, 0, 128 * 4096, m.mem);
	mini_vcpu(&m, 0);
	logged(&m, 0, ~0ull, ~0ull, "at first");
	mini_ioctl(&m, m.fd, KVM_CLEAR_DIRTY_LOG, &clear, "KVM_CLEAR_DIRTY_LOG");
	logged(&m, 0, 0, ~0ull, "half of it cleared");
	mini_move(&m, 1);
	logged(&m, 0, 0, ~0ull, "after a move");
	/* What is written from here on is seen. */
	mini_ioctl(&m, m.vcpu[0], KVM_GET_SREGS, &s, "KVM_GET_SREGS");
	s.ds.base = 0;
	s.ds.selector = 0;
	mini_ioctl(&m, m.vcpu[0], KVM_SET_SREGS, &s, "KVM_SET_SREGS");
	mini_run(&m, 0, KVM_EXIT_IO, "run after the move");
	mini_complete(&m, 0);
	page = 1ull << 9;
	if (m.ok) {
		__u64 bits[2] = { 0 };
		struct kvm_dirty_log log = { .dirty_bitmap = bits };

		/* KVM may have read the code's page as one to be written. */
		mini_ioctl(&m, m.fd, KVM_GET_DIRTY_LOG, &log, "KVM_GET_DIRTY_LOG");
		if (m.ok && (!(bits[0] & page) ||
			     bits[0] & ~(page | 1ull << (MINI_CODE >> 12)))) {
			snprintf(m.why, sizeof(m.why),
				 "page 9 was written, dirty are %#llx", bits[0]);
			m.ok = false;
		}
	}
	/* And a slot that is made now begins as the first one did. */
	mini_slot(&m, 1, KVM_MEM_LOG_DIRTY_PAGES, 0x200000, 128 * 4096, more);
	logged(&m, 1, ~0ull, ~0ull, "new after a move");
	kept_end(&m, "dirty log, all set at first, with half of it cleared");
	munmap(more, MINI_MEM);
}

static void test_nmis(void)
{
	/* The loop; the handler: inc byte [0x600]; iret */
	static const __u8 handler[] = { 0xfe, 0x06, 0x00, 0x06, 0xcf };
	const __u8 *count;
	struct kvm_sregs s;
	struct mini m;
	int i;

	mini_begin(&m);
	mini_ioctl(&m, m.fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	mini_boot(&m, code_out, sizeof(code_out));
	memcpy(m.mem + MINI_CODE + 0x100, handler, sizeof(handler));
	*(__u32 *)(m.mem + 2 * 4) = MINI_CODE + 0x100;
	count = (__u8 *)m.mem + 0x600;
	mini_ioctl(&m, m.vcpu[0], KVM_GET_SREGS, &s, "KVM_GET_SREGS");
	s.ds.base = 0;
	s.ds.selector = 0;
	mini_ioctl(&m, m.vcpu[0], KVM_SET_SREGS, &s, "KVM_SET_SREGS");
	mini_ioctl(&m, m.vcpu[0], KVM_NMI, NULL, "KVM_NMI");
	mini_ioctl(&m, m.vcpu[0], KVM_NMI, NULL, "KVM_NMI");
	mini_move(&m, 1);
	for (i = 0; i < 10; i++)
		mini_run(&m, 0, KVM_EXIT_IO, "run after the move");
	if (m.ok && *count != 2) {
		snprintf(m.why, sizeof(m.why), "2 NMIs were pending, %u came", *count);
		m.ok = false;
	}
	kept_end(&m, "two NMIs");
}

static __u32 clock_flags(struct mini *m)
{
	struct kvm_clock_data clock = { 0 };

	mini_ioctl(m, m->fd, KVM_GET_CLOCK, &clock, "KVM_GET_CLOCK");
	return clock.flags;
}

/* Offsets are then other ones, and KVM says that the TSCs match all the same. */
static void test_tsc(void)
{
	const struct code_wrmsr code = CODE_WRMSR(MSR_TSC_ADJUST, 0x123456, 0);
	const __u8 *flags;
	struct mini m;
	int to;

	mini_begin(&m);
	mini_boot(&m, &code, sizeof(code));
	mini_vcpu(&m, 1);
	flags = (__u8 *)m.mem + PVCLOCK + PVCLOCK_FLAGS;
	if (!mini_msr_set(&m, MSR_KVM_SYSTEM_TIME_NEW, PVCLOCK | 1))
		mini_fail(&m, "kvmclock");
	mini_run(&m, 0, KVM_EXIT_IO, "first run");
	mini_complete(&m, 0);
	if (m.ok && !(clock_flags(&m) & KVM_CLOCK_TSC_STABLE)) {
		mini_end(&m);
		ksft_test_result_skip("TSCs moved apart: the host's clock is no TSC\n");
		return;
	}
	for (to = 1; to >= 0; to--) {
		mini_move(&m, to);
		mini_run(&m, 0, KVM_EXIT_IO, "run after a move");
		mini_complete(&m, 0);
		if (m.ok && !(clock_flags(&m) & KVM_CLOCK_TSC_STABLE &&
			      *flags & PVCLOCK_TSC_STABLE)) {
			errno = 0;
			mini_fail(&m, "kvmclock is not stable after a move");
		}
	}
	kept_end(&m, "kvmclock is stable, with TSCs that the guest has moved apart");
}

/* Why a VM cannot be moved is said by name. */
static void refused(struct mini *m, const char *reason)
{
	struct kvm_core_move mv = { 0 };

	snprintf(mv.instance, sizeof(mv.instance), "%s", mini_names[1]);
	if (!m->ok)
		return;
	if (!ioctl(m->fd, KVM_CORE_VM_MOVE, &mv) || errno != EOPNOTSUPP ||
	    strcmp(mv.reason, reason)) {
		snprintf(m->why, sizeof(m->why), "\"%.100s\", expected was \"%s\"",
			 mv.reason, reason);
		m->ok = false;
	}
}

/* On SVM there is none that KVM enables and a handoff cannot. */
static void test_cap_name(void)
{
	static const char what[] = "a capability that cannot be moved has a name";
	struct kvm_enable_cap evmcs = {
		.cap = KVM_CAP_HYPERV_ENLIGHTENED_VMCS,
		.args = { (unsigned long)&(__u16){ 0 } },
	};
	struct mini m;

	mini_begin(&m);
	mini_cap(&m, m.fd, KVM_CAP_SPLIT_IRQCHIP, 24);
	mini_vcpu(&m, 0);
	if (m.ok && ioctl(m.vcpu[0], KVM_ENABLE_CAP, &evmcs)) {
		mini_end(&m);
		kept_skip(what, "no enlightened VMCS");
		return;
	}
	refused(&m, "KVM_CAP_HYPERV_ENLIGHTENED_VMCS was enabled");
	kept_end(&m, what);
}

/*
 * On SVM a shutdown is an INIT: not in SMM, and of what the vCPU keeps through an INIT the
 * host's side keeps too. kvm-core's entry check looks at that.
 */
static void test_shut_down(void)
{
	struct kvm_vcpu_events events = {
		.flags = KVM_VCPUEVENT_VALID_SMM, .smi = { .smm = 1 },
	};
	__u8 code[1 + sizeof(code_out)] = { 0xcc };	/* int3 */
	struct kvm_sregs s;
	struct mini m;
	int i;

	memcpy(code + 1, code_out, sizeof(code_out));
	mini_begin(&m);
	mini_boot(&m, code, sizeof(code));
	mini_slot(&m, 1 << 16, 0, 0, MINI_MEM, m.mem);
	for (i = 0; i < 2; i++) {
		mini_ioctl(&m, m.vcpu[0], KVM_GET_SREGS, &s, "KVM_GET_SREGS");
		s.idt.limit = 0;
		mini_ioctl(&m, m.vcpu[0], KVM_SET_SREGS, &s, "KVM_SET_SREGS");
		mini_ioctl(&m, m.vcpu[0], KVM_SET_VCPU_EVENTS, &events, "KVM_SET_VCPU_EVENTS");
		mini_run(&m, 0, KVM_EXIT_SHUTDOWN, "a triple fault in SMM");
		if (i)
			mini_move(&m, 1);
		mini_ioctl(&m, m.vcpu[0], KVM_GET_SREGS, &s, "KVM_GET_SREGS");
		s.idt.limit = 0xffff;
		mini_ioctl(&m, m.vcpu[0], KVM_SET_SREGS, &s, "KVM_SET_SREGS");
		mini_entry(&m, 0);
		*(m.mem + MINI_CODE) = 0x90;
		mini_run(&m, 0, KVM_EXIT_IO, "run after a shutdown");
		mini_complete(&m, 0);
		*(m.mem + MINI_CODE) = 0xcc;
		mini_entry(&m, 0);
	}
	kept_end(&m, "a shutdown in SMM");
}

/* Scaled by hardware, less than 1 kHz of the host's TSC remains of it. */
static void test_slow_tsc(void)
{
	static const char what[] = "a guest with a TSC of 1 kHz runs";
	struct kvm_clock_data clock = { 0 };
	struct mini m;

	mini_begin(&m);
	mini_boot(&m, code_out, sizeof(code_out));
	/* KVM looks at it when it is another one than before, and kvmclock changes. */
	mini_run(&m, 0, KVM_EXIT_IO, "run with the host's");
	mini_complete(&m, 0);
	if (m.ok && ioctl(m.vcpu[0], KVM_SET_TSC_KHZ, 1)) {
		mini_end(&m);
		kept_skip(what, "the TSC is not scaled");
		return;
	}
	mini_ioctl(&m, m.fd, KVM_SET_CLOCK, &clock, "KVM_SET_CLOCK");
	mini_run(&m, 0, KVM_EXIT_IO, "run");
	mini_complete(&m, 0);
	mini_move(&m, 1);
	mini_run(&m, 0, KVM_EXIT_IO, "run after a move");
	mini_complete(&m, 0);
	kept_end(&m, what);
}

static void (* const tests[])(void) = {
	test_msrs, test_clock_stopped, test_step, test_kicked, test_hv_reset,
	test_hv_crash, test_exits, test_x2apic, test_quirks, test_initially_set,
	test_nmis, kept_edge, test_tsc, kept_clock, kept_first_tsc, kept_rtc, kept_pic,
	kept_exception, kept_nested_dr7, kept_stats, test_cap_name, test_shut_down, test_slow_tsc,
	kept_region2, kept_pre_fault, kept_bus_cycles,
};

int main(int argc, char **argv)
{
	unsigned int i;

	args_two(argc, argv, usage, mini_names);
	ksft_print_header();
	ksft_set_plan(ARRAY_SIZE(tests));
	for (i = 0; i < ARRAY_SIZE(tests); i++)
		tests[i]();
	ksft_finished();
}
