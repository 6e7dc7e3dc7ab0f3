// SPDX-License-Identifier: GPL-2.0-only
/* vmm-kept: a guest in the guest. */
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include "kept.h"
#include "mini.h"

#define MSR_EFER	0xc0000080
#define EFER_SVME	0x1000
#define MSR_VM_HSAVE_PA	0xc0010117
#define L1_PORT		0x11
#define L2_PORT		0x12
#define L1_CODE		0x3000
#define L1_TABLE	0x20000
#define L1_VMCB		0x30000
#define L1_HSAVE	0x31000

static void segment(__u8 *at, __u16 selector, __u16 attrib)
{
	__u32 limit = ~0u;

	memcpy(at, &selector, 2);
	memcpy(at + 2, &attrib, 2);
	memcpy(at + 4, &limit, 4);
}

static void put64(__u8 *at, __u64 value)
{
	memcpy(at, &value, sizeof(value));
}

/*
 * The vCPU is in the guest's guest, in real mode as it began. The hypervisor intercepts
 * invalid opcodes, and goes on at L1_CODE, with paging.
 */
static void enter_svm(struct mini *m, const void *code, size_t len)
{
	struct {
		struct kvm_nested_state head;
		__u8 vmcb[4096];
	} ns = { 0 };
	__u8 *save = ns.vmcb + 0x400;
	__u32 table = 0x83;

	memcpy(m->mem + L1_CODE, code, len);
	memcpy(m->mem + L1_TABLE, &table, sizeof(table));
	if (m->ok && (!mini_msr_set(m, MSR_EFER, EFER_SVME) ||
		      !mini_msr_set(m, MSR_VM_HSAVE_PA, L1_HSAVE)))
		mini_fail(m, "EFER.SVME, MSR_VM_HSAVE_PA");
	ns.head.flags = KVM_STATE_NESTED_GUEST_MODE | KVM_STATE_NESTED_GIF_SET;
	ns.head.format = KVM_STATE_NESTED_FORMAT_SVM;
	ns.head.size = sizeof(ns);
	ns.head.hdr.svm.vmcb_pa = L1_VMCB;
	/* Exception 6, VMRUN; ASID 1. */
	ns.vmcb[0x08] = 1 << 6;
	ns.vmcb[0x10] = 1;
	ns.vmcb[0x58] = 1;
	segment(save, 0x10, 0xc93);
	segment(save + 0x10, 8, 0xc9b);
	segment(save + 0x20, 0x10, 0xc93);
	segment(save + 0x30, 0x10, 0xc93);
	put64(save + 0xd0, EFER_SVME);
	put64(save + 0x148, 0x10);
	put64(save + 0x150, L1_TABLE);
	put64(save + 0x158, 0x80000011);
	put64(save + 0x160, 0x400);
	put64(save + 0x168, 0xffff0ff0);
	put64(save + 0x170, 2);
	put64(save + 0x178, L1_CODE);
	/* For VMRUN, what KVM does not write there when the guest's guest ends. */
	memcpy(m->mem + L1_VMCB, ns.vmcb, sizeof(ns.vmcb));
	mini_ioctl(m, m->vcpu[0], KVM_SET_NESTED_STATE, &ns, "KVM_SET_NESTED_STATE");
}

void kept_exception(void)
{
	static const char what[] = "an exception that userspace has set in a guest's guest";
	static const __u8 code[] = { 0xe6, L1_PORT, 0xeb, 0xfc };
	struct kvm_vcpu_events ev;
	struct mini m;

	if (!kept_is_amd()) {
		kept_skip(what, "on SVM");
		return;
	}
	mini_begin(&m);
	mini_cap(&m, m.fd, KVM_CAP_EXCEPTION_PAYLOAD, 1);
	mini_boot(&m, code_out, sizeof(code_out));
	*(__u32 *)(m.mem + 6 * 4) = MINI_CODE;
	enter_svm(&m, code, sizeof(code));
	mini_ioctl(&m, m.vcpu[0], KVM_GET_VCPU_EVENTS, &ev, "KVM_GET_VCPU_EVENTS");
	ev.flags |= KVM_VCPUEVENT_VALID_PAYLOAD;
	ev.exception.pending = 1;
	ev.exception.nr = 6;
	mini_ioctl(&m, m.vcpu[0], KVM_SET_VCPU_EVENTS, &ev, "KVM_SET_VCPU_EVENTS");
	mini_move(&m, 1);
	mini_run(&m, 0, KVM_EXIT_IO, "run after the move");
	if (m.ok && m.run[0]->io.port != L1_PORT) {
		snprintf(m.why, sizeof(m.why),
			 "the hypervisor in the guest did not get it: port %#x",
			 m.run[0]->io.port);
		m.ok = false;
	}
	kept_end(&m, what);
}

/* The hypervisor gives its guest a DR7 by VMRUN, and nobody looks at it before the move. */
void kept_nested_dr7(void)
{
	static const char what[] = "DR7 that VMRUN has given a guest's guest";
	static const __u8 l1[] = {
		0xb8, 0, 0, 3, 0,			/* mov $L1_VMCB, %eax */
		0xc7, 0x80, 0x60, 5, 0, 0, 0, 5, 0, 0,	/* movl $0x500, 0x560(%eax): DR7 */
		0x83, 0x80, 0x78, 5, 0, 0, 2,		/* addl $2, 0x578(%eax): RIP */
		0x0f, 1, 0xd8,				/* vmrun */
		0xe6, L1_PORT, 0xeb, 0xfc,
	};
	static const __u8 l2[] = {
		0x0f, 0x0b,				/* ud2 */
		0xe6, L2_PORT,
		0x0f, 0x21, 0xf8,			/* mov %dr7, %eax */
		0x66, 0xe7, L2_PORT,			/* out %eax */
	};
	struct mini m;
	__u32 dr7 = 0;

	if (!kept_is_amd()) {
		kept_skip(what, "on SVM");
		return;
	}
	mini_begin(&m);
	mini_boot(&m, l2, sizeof(l2));
	enter_svm(&m, l1, sizeof(l1));
	mini_run(&m, 0, KVM_EXIT_IO, "run before the move");
	if (m.ok && m.run[0]->io.port != L2_PORT)
		mini_fail(&m, "the hypervisor did not begin anew");
	mini_complete(&m, 0);
	mini_move(&m, 1);
	mini_run(&m, 0, KVM_EXIT_IO, "run after the move");
	if (m.ok)
		memcpy(&dr7, (char *)m.run[0] + m.run[0]->io.data_offset, sizeof(dr7));
	if (m.ok && (m.run[0]->io.port != L2_PORT || dr7 != 0x500)) {
		snprintf(m.why, sizeof(m.why), "port %#x, DR7 %#x", m.run[0]->io.port, dr7);
		m.ok = false;
	}
	kept_end(&m, what);
}
