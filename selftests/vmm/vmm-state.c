// SPDX-License-Identifier: GPL-2.0-only
/* vmm-state: state that is put into a VM is there after its KVM has changed. */
#include <errno.h>
#include <linux/kvm_core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <kselftest.h>
#include "vmm.h"

static const char usage[] =
"usage: vmm-state INSTANCE OTHER\n"
"\n"
"Puts state into VMs on INSTANCE that do not run: registers, MSRs, what is pending,\n"
"interrupt controllers, nested virtualization. Has them moved to OTHER and back, and\n"
"compares all that KVM_GET_* shows before and after. TAP output.\n";

#define APIC_TMCCT	0x390
#define MSR_TSC		0x10
#define MSR_EFER	0xc0000080
#define HV_VP_RUNTIME	0x40000010
#define HV_TIME_REF_COUNT 0x40000020
#define EFER_SVME	0x1000

static const char *names[2];
static char path[64];

struct trial {
	struct vm_shape	shape;
	struct vm_fds	fds;
	struct vm_report report;
	struct vm	*vm;
	struct vm_state	before;
	struct vm_state	after;
	bool		ok;
	char		why[200];
};

static void fail(struct trial *t, const char *what)
{
	if (t->ok)
		snprintf(t->why, sizeof(t->why), "%s: %s", what, strerror(errno));
	t->ok = false;
}

static void begin(struct trial *t)
{
	memset(t, 0, sizeof(*t));
	t->shape = (struct vm_shape){ .cpus = 2, .mem = 32 << 20 };
	t->shape.guest = guest_by_name("spin");
	t->ok = true;
	if (vm_fds_make(&t->shape, &t->fds))
		ksft_exit_fail_msg("no memory\n");
	t->vm = vm_create(path, &t->shape, &t->fds, &t->report);
	if (!t->vm || vm_boot(t->vm))
		ksft_exit_fail_msg("no VM\n");
}

static void do_ioctl(struct trial *t, int cpu, unsigned long cmd, void *arg,
		     const char *what)
{
	int fd = cpu < 0 ? t->vm->fd : t->vm->vcpu[cpu].fd;

	if (t->ok && ioctl(fd, cmd, arg) < 0)
		fail(t, what);
}

static void move_to(struct trial *t, const char *to)
{
	struct kvm_core_move mv = { .deadline_us = 5000000, .timeout_ms = 60000 };

	snprintf(mv.instance, sizeof(mv.instance), "%s", to);
	if (t->ok && ioctl(t->vm->fd, KVM_CORE_VM_MOVE, &mv)) {
		snprintf(t->why, sizeof(t->why), "move to %s: %.128s (%s)", to,
			 mv.reason, strerror(errno));
		t->ok = false;
	}
}

/* What goes on by itself is taken out of the comparison. */
static void still(struct vm_state *st, unsigned int cpus)
{
	struct kvm_lapic_state *l;
	struct kvm_pit_state2 *pit;
	struct kvm_msrs *m;
	unsigned int i, k;

	state_drop(st, KVM_SET_CLOCK);
	pit = state_find(st, KVM_SET_PIT2, -1, 0, NULL);
	for (i = 0; pit && i < 3; i++)
		pit->channels[i].count_load_time = 0;
	for (i = 0; i < cpus; i++) {
		l = state_find(st, KVM_SET_LAPIC, i, 0, NULL);
		if (l)
			memset(l->regs + APIC_TMCCT, 0, 4);
		m = state_find(st, KVM_SET_MSRS, i, 0, NULL);
		for (k = 0; m && k < m->nmsrs; k++)
			if (m->entries[k].index == MSR_TSC ||
			    m->entries[k].index == HV_TIME_REF_COUNT ||
			    m->entries[k].index == HV_VP_RUNTIME)
				m->entries[k].data = 0;
	}
}

static const struct {
	__u64		cmd;
	const char	*name;
} ioctls[] = {
	{ KVM_SET_MP_STATE, "KVM_SET_MP_STATE" },
	{ KVM_SET_VCPU_EVENTS, "KVM_SET_VCPU_EVENTS" },
	{ KVM_SET_CPUID2, "KVM_SET_CPUID2" },
	{ KVM_SET_REGS, "KVM_SET_REGS" },
	{ KVM_SET_SREGS2, "KVM_SET_SREGS2" },
	{ KVM_SET_XSAVE, "KVM_SET_XSAVE" },
	{ KVM_SET_XCRS, "KVM_SET_XCRS" },
	{ KVM_SET_DEBUGREGS, "KVM_SET_DEBUGREGS" },
	{ KVM_SET_DEVICE_ATTR, "KVM_SET_DEVICE_ATTR" },
	{ KVM_SET_NESTED_STATE, "KVM_SET_NESTED_STATE" },
	{ KVM_SET_MSRS, "KVM_SET_MSRS" },
	{ KVM_SET_LAPIC, "KVM_SET_LAPIC" },
	{ KVM_SET_PIT2, "KVM_SET_PIT2" },
	{ KVM_SET_IRQCHIP, "KVM_SET_IRQCHIP" },
};

static const char *ioctl_name(__u64 cmd)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ioctls); i++)
		if (ioctls[i].cmd == cmd)
			return ioctls[i].name;
	return "?";
}

/* MSRs one by one, for the message. */
static void compare_msrs(struct trial *t, int cpu, const struct kvm_msrs *a,
			 const struct kvm_msrs *b)
{
	unsigned int i;

	for (i = 0; t->ok && i < a->nmsrs && i < b->nmsrs; i++)
		if (a->entries[i].data != b->entries[i].data) {
			snprintf(t->why, sizeof(t->why),
				 "vCPU %d: MSR %#x was %#llx and is %#llx", cpu,
				 a->entries[i].index, a->entries[i].data,
				 b->entries[i].data);
			t->ok = false;
		}
}

static void compare(struct trial *t, const char *where)
{
	size_t at = 0;

	if (!t->ok)
		return;
	if (t->before.len != t->after.len) {
		snprintf(t->why, sizeof(t->why), "state of %zu bytes was %zu bytes",
			 t->after.len, t->before.len);
		t->ok = false;
	}
	while (t->ok && at < t->before.len) {
		struct state_rec *a = (void *)(t->before.buf + at);
		struct state_rec *b = (void *)(t->after.buf + at);
		unsigned char *x = (void *)(a + 1), *y = (void *)(b + 1);
		unsigned int i;

		if (a->ioctl == KVM_SET_MSRS)
			compare_msrs(t, a->cpu, (void *)x, (void *)y);
		for (i = 0; t->ok && i < a->len; i++)
			if (x[i] != y[i]) {
				snprintf(t->why, sizeof(t->why),
					 "on %s, vCPU %d, %s %u: byte %#x was %#x and is %#x",
					 where, a->cpu, ioctl_name(a->ioctl),
					 a->index, i, x[i], y[i]);
				t->ok = false;
			}
		at += sizeof(*a) + ((a->len + 7) & ~7ul);
	}
}

/* There, and back. */
static void check(struct trial *t)
{
	int i;

	if (t->ok && vm_save(t->vm, &t->before))
		fail(t, "state before");
	still(&t->before, t->shape.cpus);
	for (i = 1; i >= 0 && t->ok; i--) {
		move_to(t, names[i]);
		if (t->ok && vm_save(t->vm, &t->after))
			fail(t, "state after");
		still(&t->after, t->shape.cpus);
		compare(t, names[i]);
	}
}

static void end(struct trial *t, const char *what)
{
	if (!t->ok)
		ksft_print_msg("%s\n", t->why);
	ksft_test_result(t->ok, "%s\n", what);
	fflush(stdout);
	state_free(&t->before);
	state_free(&t->after);
	vm_destroy(t->vm);
	vm_fds_close(&t->fds);
}

static void test_registers(void)
{
	struct kvm_debugregs dr = { .dr6 = 0xffff0ff1, .dr7 = 0x0455 };
	struct kvm_regs regs;
	struct trial t;
	__u64 *p;
	int i;

	begin(&t);
	do_ioctl(&t, 1, KVM_GET_REGS, &regs, "KVM_GET_REGS");
	for (i = 0, p = (__u64 *)&regs; i < 17; i++)
		p[i] = 0x1111111111111111ull * (i + 1) ^ 0x5a5a;
	regs.rflags = 0xad7;
	do_ioctl(&t, 1, KVM_SET_REGS, &regs, "KVM_SET_REGS");
	for (i = 0; i < 4; i++)
		dr.db[i] = 0xfffff00000 + i * 8;
	do_ioctl(&t, 1, KVM_SET_DEBUGREGS, &dr, "KVM_SET_DEBUGREGS");
	check(&t);
	end(&t, "general and debug registers");
}

static void test_sregs(void)
{
	struct kvm_sregs2 s;
	struct trial t;

	begin(&t);
	do_ioctl(&t, 0, KVM_GET_SREGS2, &s, "KVM_GET_SREGS2");
	s.cr2 = 0x123456789000;
	s.cr8 = 5;
	s.gs.base = 0x7fff12345000;
	s.fs.base = 0x7fff54321000;
	s.ldt.base = 0x5000;
	s.ldt.limit = 0x77;
	s.idt.limit = 0x3ff;
	s.tr.base = 0x6000;
	do_ioctl(&t, 0, KVM_SET_SREGS2, &s, "KVM_SET_SREGS2");
	check(&t);
	end(&t, "segments and control registers");
}

static void test_xsave(void)
{
	struct kvm_xsave *x;
	unsigned int i;
	struct trial t;
	__u8 *b;

	begin(&t);
	x = calloc(1, t.vm->xsave_size);
	do_ioctl(&t, 0, KVM_GET_XSAVE, x, "KVM_GET_XSAVE");
	b = (__u8 *)x;
	/* x87 and XMM registers; AVX and what follows, as far as XCR0 has it. */
	for (i = 32; i < 416; i++)
		b[i] = i % 16 < 10 || i >= 160 ? i * 7 : 0;
	for (i = 576; i < 832; i++)
		b[i] = i * 13;
	*(__u64 *)(b + 512) |= 7;
	do_ioctl(&t, 0, KVM_SET_XSAVE, x, "KVM_SET_XSAVE");
	check(&t);
	free(x);
	end(&t, "XSAVE area");
}

/* Each MSR gets another value, where it takes one. */
static void test_msrs(void)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} one = { .head.nmsrs = 1 };
	/* Time, and what says which others there are. */
	static const __u32 leave[] = {
		MSR_TSC, MSR_EFER, 0x1b, 0x3a, 0x8b, 0x11, 0x12, 0x4b564d00,
		0x4b564d01, 0x4b564d02, 0x4b564d03, 0x4b564d04,
	};
	unsigned int i, k, n = 0;
	struct trial t;

	begin(&t);
	if (vm_save(t.vm, &t.before))
		fail(&t, "list of MSRs");
	for (i = 0; t.ok && i < t.vm->msrs->nmsrs; i++) {
		__u64 was;

		one.e.index = t.vm->msrs->indices[i];
		for (k = 0; k < ARRAY_SIZE(leave) && leave[k] != one.e.index; k++)
			;
		if (k < ARRAY_SIZE(leave))
			continue;
		do_ioctl(&t, 1, KVM_GET_MSRS, &one, "KVM_GET_MSRS");
		was = one.e.data;
		one.e.data ^= 0x1000;
		if (ioctl(t.vm->vcpu[1].fd, KVM_SET_MSRS, &one) != 1) {
			one.e.data = was ^ 1;
			if (ioctl(t.vm->vcpu[1].fd, KVM_SET_MSRS, &one) != 1)
				continue;
		}
		n++;
	}
	ksft_print_msg("%u of %u MSRs changed\n", n, i);
	if (n < 20)
		t.ok = false;
	check(&t);
	end(&t, "MSRs");
}

static void test_events(const char *what, struct kvm_vcpu_events ev)
{
	struct kvm_vcpu_events now = { 0 };
	struct trial t;
	char name[80];

	begin(&t);
	ev.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING | KVM_VCPUEVENT_VALID_SHADOW |
		    KVM_VCPUEVENT_VALID_SIPI_VECTOR;
	do_ioctl(&t, 0, KVM_SET_VCPU_EVENTS, &ev, "KVM_SET_VCPU_EVENTS");
	do_ioctl(&t, 0, KVM_GET_VCPU_EVENTS, &now, "KVM_GET_VCPU_EVENTS");
	/* It was taken: otherwise there is nothing to lose. */
	if (now.exception.injected != ev.exception.injected ||
	    now.interrupt.injected != ev.interrupt.injected ||
	    !now.interrupt.shadow != !ev.interrupt.shadow ||
	    now.nmi.injected != ev.nmi.injected ||
	    now.nmi.pending != ev.nmi.pending ||
	    now.nmi.masked != ev.nmi.masked)
		fail(&t, "KVM did not take the events");
	check(&t);
	snprintf(name, sizeof(name), "events: %s", what);
	end(&t, name);
}

static void test_smi(void)
{
	struct kvm_vcpu_events ev = { 0 };
	struct trial t;

	begin(&t);
	if (ioctl(t.vm->vcpu[0].fd, KVM_SMI, 0)) {
		ksft_test_result_skip("events: SMI pending: no SMM\n");
		vm_destroy(t.vm);
		vm_fds_close(&t.fds);
		return;
	}
	do_ioctl(&t, 0, KVM_GET_VCPU_EVENTS, &ev, "KVM_GET_VCPU_EVENTS");
	if (!ev.smi.pending)
		fail(&t, "KVM did not take the SMI");
	check(&t);
	end(&t, "events: SMI pending");
}

static void test_mp_state(const char *what, __u32 state)
{
	struct kvm_mp_state mp = { .mp_state = state };
	struct trial t;
	char name[80];

	begin(&t);
	do_ioctl(&t, 1, KVM_SET_MP_STATE, &mp, "KVM_SET_MP_STATE");
	check(&t);
	snprintf(name, sizeof(name), "mp_state: %s", what);
	end(&t, name);
}

static void test_lapic(void)
{
	struct kvm_lapic_state l;
	struct trial t;
	__u32 *r = (__u32 *)l.regs;

	begin(&t);
	do_ioctl(&t, 1, KVM_GET_LAPIC, &l, "KVM_GET_LAPIC");
	/* Enabled; something in TPR, LDR, IRR, ISR, LVTs, ICR. */
	r[0xf0 / 4] = 0x1ff;
	r[0x80 / 4] = 0x20;
	r[0xd0 / 4] = 0x02000000;
	r[0x210 / 4] = 1 << 5;
	r[0x110 / 4] = 1 << 9;
	r[0x230 / 4] = 1 << 3;
	r[0x330 / 4] = 0x100f1;
	r[0x350 / 4] = 0x10700;
	r[0x310 / 4] = 0x01000000;
	do_ioctl(&t, 1, KVM_SET_LAPIC, &l, "KVM_SET_LAPIC");
	check(&t);
	end(&t, "LAPIC: IRR, ISR, LVT, TPR, ICR");
}

static void test_chips(void)
{
	struct kvm_irqchip chip = { .chip_id = KVM_IRQCHIP_IOAPIC };
	struct kvm_irq_level line = { .irq = 20, .level = 1 };
	struct kvm_pit_state2 pit;
	struct trial t;

	begin(&t);
	do_ioctl(&t, -1, KVM_GET_IRQCHIP, &chip, "KVM_GET_IRQCHIP");
	/* Level, masked: the line stays up in the IRR. */
	chip.chip.ioapic.redirtbl[20].bits = 0x1a045 | 1ull << 56;
	chip.chip.ioapic.redirtbl[5].bits = 0x10031;
	chip.chip.ioapic.ioregsel = 0x12;
	do_ioctl(&t, -1, KVM_SET_IRQCHIP, &chip, "KVM_SET_IRQCHIP");
	do_ioctl(&t, -1, KVM_IRQ_LINE, &line, "KVM_IRQ_LINE");
	do_ioctl(&t, -1, KVM_GET_IRQCHIP, &chip, "KVM_GET_IRQCHIP");
	if (t.ok && !(chip.chip.ioapic.irr & 1 << 20))
		fail(&t, "the IOAPIC does not show the line");
	chip.chip_id = KVM_IRQCHIP_PIC_SLAVE;
	do_ioctl(&t, -1, KVM_GET_IRQCHIP, &chip, "KVM_GET_IRQCHIP");
	chip.chip.pic.imr = 0xa5;
	chip.chip.pic.irq_base = 0x78;
	chip.chip.pic.elcr = 0x0c;
	do_ioctl(&t, -1, KVM_SET_IRQCHIP, &chip, "KVM_SET_IRQCHIP");
	do_ioctl(&t, -1, KVM_GET_PIT2, &pit, "KVM_GET_PIT2");
	pit.channels[2].count = 0x1234;
	pit.channels[2].mode = 3;
	pit.channels[2].gate = 1;
	do_ioctl(&t, -1, KVM_SET_PIT2, &pit, "KVM_SET_PIT2");
	check(&t);

	/* Down again: the line is userspace's, on the target too. */
	line.level = 0;
	do_ioctl(&t, -1, KVM_IRQ_LINE, &line, "KVM_IRQ_LINE");
	chip.chip_id = KVM_IRQCHIP_IOAPIC;
	do_ioctl(&t, -1, KVM_GET_IRQCHIP, &chip, "KVM_GET_IRQCHIP");
	if (t.ok && chip.chip.ioapic.irr & 1 << 20)
		fail(&t, "the line does not go down");
	end(&t, "IOAPIC with a line held up, PIC, PIT");
}

static bool is_amd(void)
{
	return strstr(names[0], "amd");
}

static void set_msr(struct trial *t, __u32 msr, __u64 set)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} one = { .head.nmsrs = 1, .e.index = msr };

	do_ioctl(t, 0, KVM_GET_MSRS, &one, "KVM_GET_MSRS");
	one.e.data |= set;
	if (t->ok && ioctl(t->vm->vcpu[0].fd, KVM_SET_MSRS, &one) != 1)
		fail(t, "KVM_SET_MSRS");
}

/* vCPU 0 is in its guest's guest. */
static void nested_svm(struct trial *t)
{
	struct {
		struct kvm_nested_state head;
		__u8 vmcb[4096];
	} ns = { 0 };
	struct kvm_sregs2 s;
	__u8 *save = ns.vmcb + 0x400;

	set_msr(t, MSR_EFER, EFER_SVME);
	set_msr(t, 0xc0010117, 0x9000);
	do_ioctl(t, 0, KVM_GET_SREGS2, &s, "KVM_GET_SREGS2");
	ns.head.flags = KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_GIF_SET;
	ns.head.format = KVM_STATE_NESTED_FORMAT_SVM;
	ns.head.size = sizeof(ns);
	ns.head.hdr.svm.vmcb_pa = 0x700000;
	/* Intercepts VMRUN and HLT; ASID 1. */
	*(__u32 *)(ns.vmcb + 0x10) = 1;
	*(__u32 *)(ns.vmcb + 0x0c) = 1 << 24;
	*(__u32 *)(ns.vmcb + 0x58) = 1;
	/* What the hypervisor goes back to. */
	*(__u64 *)(save + 0xd0) = s.efer;
	*(__u64 *)(save + 0x148) = s.cr4;
	*(__u64 *)(save + 0x150) = s.cr3;
	*(__u64 *)(save + 0x158) = s.cr0;
	*(__u64 *)(save + 0x160) = 0x400;
	*(__u64 *)(save + 0x168) = 0xffff0ff0;
	*(__u64 *)(save + 0x170) = 2;
	*(__u64 *)(save + 0x178) = 0xabc123;
	do_ioctl(t, 0, KVM_SET_NESTED_STATE, &ns, "KVM_SET_NESTED_STATE");
}

/* VMXON was executed, and there is no current VMCS. */
static void nested_vmx(struct trial *t)
{
	struct kvm_nested_state ns = {
		.format = KVM_STATE_NESTED_FORMAT_VMX,
		.size = sizeof(ns),
		.hdr.vmx.vmxon_pa = 0x700000,
		.hdr.vmx.vmcs12_pa = ~0ull,
	};
	struct kvm_sregs2 s;

	set_msr(t, 0x3a, 5);
	do_ioctl(t, 0, KVM_GET_SREGS2, &s, "KVM_GET_SREGS2");
	s.cr4 |= 1 << 13;
	do_ioctl(t, 0, KVM_SET_SREGS2, &s, "KVM_SET_SREGS2");
	do_ioctl(t, 0, KVM_SET_NESTED_STATE, &ns, "KVM_SET_NESTED_STATE");
}

static void test_nested(void)
{
	struct trial t;
	int size;

	begin(&t);
	size = ioctl(t.vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_NESTED_STATE);
	if (size <= 0) {
		ksft_test_result_skip("nested state: not on this KVM\n");
		vm_destroy(t.vm);
		vm_fds_close(&t.fds);
		return;
	}
	if (is_amd())
		nested_svm(&t);
	else
		nested_vmx(&t);
	check(&t);
	end(&t, is_amd() ? "nested state: a vCPU in its guest's guest" :
			   "nested state: VMXON");
}

/* Read-only and many memslots, a filter, and a model of few features. */
static void test_config(void)
{
	struct kvm_userspace_memory_region slot = { 0 };
	struct kvm_msr_filter filter = { .flags = KVM_MSR_FILTER_DEFAULT_ALLOW };
	struct kvm_coalesced_mmio_zone zone = { .addr = 0xd1000000, .size = 4096 };
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR,
		.args = { KVM_MSR_EXIT_REASON_FILTER },
	};
	__u8 bitmap[8] = { 0x0f };
	struct trial t;
	unsigned int i;
	void *mem;

	begin(&t);
	mem = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	slot.memory_size = 0x10000;
	slot.userspace_addr = (unsigned long)mem;
	for (i = 1; i < 600; i++) {
		slot.slot = i;
		slot.flags = i & 1 ? KVM_MEM_READONLY : 0;
		slot.guest_phys_addr = 0x100000000ull + i * 0x10000ull;
		do_ioctl(&t, -1, KVM_SET_USER_MEMORY_REGION, &slot, "memslot");
	}
	filter.ranges[3].flags = KVM_MSR_FILTER_READ;
	filter.ranges[3].base = 0x40000000;
	filter.ranges[3].nmsrs = 64;
	filter.ranges[3].bitmap = bitmap;
	do_ioctl(&t, -1, KVM_ENABLE_CAP, &cap, "KVM_CAP_X86_USER_SPACE_MSR");
	do_ioctl(&t, -1, KVM_X86_SET_MSR_FILTER, &filter, "KVM_X86_SET_MSR_FILTER");
	do_ioctl(&t, -1, KVM_REGISTER_COALESCED_MMIO, &zone, "coalesced MMIO");
	check(&t);

	/* All slots are there: one in the way of each is refused. */
	slot.slot = 700;
	slot.flags = 0;
	for (i = 1; t.ok && i < 600; i++) {
		slot.guest_phys_addr = 0x100000000ull + i * 0x10000ull;
		if (!ioctl(t.vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) ||
		    errno != EEXIST)
			fail(&t, "a memslot is missing");
	}
	/* A read-only slot does not become writable. */
	slot.slot = 1;
	slot.guest_phys_addr = 0x100010000ull;
	if (t.ok && (!ioctl(t.vm->fd, KVM_SET_USER_MEMORY_REGION, &slot) ||
		     errno != EINVAL))
		fail(&t, "a memslot is no longer read-only");
	end(&t, "600 memslots, read-only ones, MSR filter, coalesced MMIO");
	munmap(mem, 0x10000);
}

int main(int argc, char **argv)
{
	struct kvm_vcpu_events none = { 0 }, ev;

	args_two(argc, argv, usage, names);
	snprintf(path, sizeof(path), "/dev/%s", names[0]);
	ksft_print_header();
	ksft_set_plan(19);
	test_registers();
	test_sregs();
	test_xsave();
	test_msrs();

	ev = none;
	ev.exception.injected = 1;
	ev.exception.nr = 14;
	ev.exception.has_error_code = 1;
	ev.exception.error_code = 6;
	test_events("injected #PF", ev);
	ev = none;
	ev.interrupt.injected = 1;
	ev.interrupt.nr = 0x77;
	test_events("injected interrupt", ev);
	ev = none;
	ev.nmi.pending = 1;
	test_events("pending NMI", ev);
	ev = none;
	ev.nmi.injected = 1;
	ev.nmi.masked = 1;
	test_events("injected NMI, NMIs masked", ev);
	ev = none;
	ev.interrupt.shadow = KVM_X86_SHADOW_INT_STI;
	test_events("interrupt shadow", ev);
	test_smi();

	test_mp_state("runnable", KVM_MP_STATE_RUNNABLE);
	test_mp_state("uninitialized", KVM_MP_STATE_UNINITIALIZED);
	test_mp_state("INIT received", KVM_MP_STATE_INIT_RECEIVED);
	test_mp_state("halted", KVM_MP_STATE_HALTED);
	test_mp_state("AP reset hold", KVM_MP_STATE_AP_RESET_HOLD);

	test_lapic();
	test_chips();
	test_nested();
	test_config();
	ksft_finished();
}
