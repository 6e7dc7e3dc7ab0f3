// SPDX-License-Identifier: GPL-2.0-only
/* vmm-kept: a guest in the guest. */
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include "kept.h"
#include "mini.h"

#define MSR_EFER	0xc0000080
#define EFER_SVME	0x1000
#define L1_PORT		0x11
#define L1_CODE		0x3000
#define L1_TABLE	0x20000
#define L1_VMCB		0x30000

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
static void enter_svm(struct mini *m)
{
	static const __u8 code[] = { 0xe6, L1_PORT, 0xeb, 0xfc };
	struct {
		struct kvm_nested_state head;
		__u8 vmcb[4096];
	} ns = { 0 };
	__u8 *save = ns.vmcb + 0x400;
	__u32 table = 0x83;

	memcpy(m->mem + L1_CODE, code, sizeof(code));
	memcpy(m->mem + L1_TABLE, &table, sizeof(table));
	if (m->ok && !mini_msr_set(m, MSR_EFER, EFER_SVME))
		mini_fail(m, "EFER.SVME");
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
	mini_ioctl(m, m->vcpu[0], KVM_SET_NESTED_STATE, &ns, "KVM_SET_NESTED_STATE");
}

void kept_exception(void)
{
	static const char what[] = "an exception that userspace has set in a guest's guest";
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
	enter_svm(&m);
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
