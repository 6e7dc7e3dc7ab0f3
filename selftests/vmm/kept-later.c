// SPDX-License-Identifier: GPL-2.0-only
/* vmm-kept: what only some series of KVM have. */
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <kselftest.h>
#include "kept.h"
#include "later.h"
#include "mini.h"
#include "vmm.h"

#define SECOND		0x200000	/* of guest memory; behind what a real mode can address */
#define PAGE		4096
#define APIC_LVTT	0x320
#define APIC_TMICT	0x380
#define APIC_TMCCT	0x390
#define APIC_TDCR	0x3e0
#define CYCLE_NS	40
#define MASKED		0x10000

static bool lacks(struct mini *m, __u32 cap, const char *what)
{
	if (ioctl(m->fd, KVM_CHECK_EXTENSION, cap) > 0)
		return false;
	mini_end(m);
	kept_skip(what, "not in this KVM");
	return true;
}

static void region2(struct mini *m, __u32 slot, __u32 flags, __u64 gpa, __u64 size, void *at)
{
	struct later_region2 r = {
		.region = {
			.slot = slot, .flags = flags, .guest_phys_addr = gpa,
			.memory_size = size, .userspace_addr = (unsigned long)at,
		},
	};

	mini_ioctl(m, m->fd, LATER_SET_REGION2, &r, "KVM_SET_USER_MEMORY_REGION2");
}

/* Whether the instance has the slot, which logs dirty pages. */
static bool has_slot(struct mini *m, __u32 slot)
{
	__u64 bits[8] = { 0 };
	struct kvm_dirty_log log = { .slot = slot, .dirty_bitmap = bits };

	return !ioctl(m->fd, KVM_GET_DIRTY_LOG, &log);
}

/* Both ioctls set the same slots: what one has set the other one takes away. */
void kept_region2(void)
{
	static const char what[] = "memslots of KVM_SET_USER_MEMORY_REGION2";
	struct mini m;

	mini_begin(&m);
	if (lacks(&m, LATER_CAP_REGION2, what))
		return;
	memcpy(m.mem + MINI_CODE, code_out, sizeof(code_out));
	region2(&m, 0, 0, 0, MINI_MEM, m.mem);
	region2(&m, 1, KVM_MEM_LOG_DIRTY_PAGES, SECOND, PAGE, m.mem);
	mini_slot(&m, 2, KVM_MEM_LOG_DIRTY_PAGES, SECOND + PAGE, PAGE, m.mem + PAGE);
	mini_vcpu(&m, 0);
	mini_run(&m, 0, KVM_EXIT_IO, "first run");
	mini_complete(&m, 0);
	mini_move(&m, 1);
	mini_run(&m, 0, KVM_EXIT_IO, "run after a move");
	mini_complete(&m, 0);
	if (m.ok && (!has_slot(&m, 1) || !has_slot(&m, 2)))
		mini_fail(&m, "a slot is not there after a move");
	mini_slot(&m, 1, KVM_MEM_LOG_DIRTY_PAGES, SECOND, 0, m.mem);
	region2(&m, 2, KVM_MEM_LOG_DIRTY_PAGES, SECOND + PAGE, 0, m.mem);
	mini_move(&m, 0);
	if (m.ok && (has_slot(&m, 1) || has_slot(&m, 2)))
		mini_fail(&m, "a slot is there that was deleted");
	mini_run(&m, 0, KVM_EXIT_IO, "run after the second move");
	mini_complete(&m, 0);
	kept_end(&m, what);
}

void kept_pre_fault(void)
{
	static const char what[] = "KVM_PRE_FAULT_MEMORY keeps no VM where it is";
	struct later_pre_fault range = { .size = MINI_MEM };
	struct mini m;
	int i;

	mini_begin(&m);
	if (lacks(&m, LATER_CAP_PRE_FAULT, what))
		return;
	mini_boot(&m, code_out, sizeof(code_out));
	for (i = 1; m.ok && i >= 0; i--) {
		range = (struct later_pre_fault){ .size = MINI_MEM };
		mini_ioctl(&m, m.vcpu[0], LATER_PRE_FAULT, &range, "KVM_PRE_FAULT_MEMORY");
		if (m.ok && (range.gpa != MINI_MEM || range.size))
			mini_fail(&m, "not all of the memory");
		mini_move(&m, i);
		mini_run(&m, 0, KVM_EXIT_IO, "run after a move");
		mini_complete(&m, 0);
	}
	kept_end(&m, what);
}

/* How far the timer's count goes down in 100 ms or more, in cycles of the bus; 0 if too far. */
static __u32 bus_cycles(struct mini *m)
{
	const __u64 since = now_ns();
	struct kvm_lapic_state l;
	__u32 first = -1, left = 0;

	mini_ioctl(m, m->vcpu[0], KVM_GET_LAPIC, &l, "KVM_GET_LAPIC");
	memset(l.regs + APIC_LVTT, 0, 4);
	*(__u32 *)(l.regs + APIC_LVTT) = MASKED;
	*(__u32 *)(l.regs + APIC_TMICT) = first;
	*(__u32 *)(l.regs + APIC_TMCCT) = first;
	*(__u32 *)(l.regs + APIC_TDCR) = 0xb;		/* by 1 */
	mini_ioctl(m, m->vcpu[0], KVM_SET_LAPIC, &l, "KVM_SET_LAPIC");
	usleep(100000);
	mini_ioctl(m, m->vcpu[0], KVM_GET_LAPIC, &l, "KVM_GET_LAPIC");
	left = *(__u32 *)(l.regs + APIC_TMCCT);
	return first - left > (now_ns() - since) / CYCLE_NS ? 0 : first - left;
}

/* Which has to be set behind the LAPICs and before the first vCPU. */
void kept_bus_cycles(void)
{
	static const char what[] = "KVM_CAP_X86_APIC_BUS_CYCLES_NS";
	__u32 before, after = 0;
	struct mini m;

	mini_begin(&m);
	if (lacks(&m, LATER_CAP_BUS_CYCLES, what))
		return;
	mini_ioctl(&m, m.fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	mini_cap(&m, m.fd, LATER_CAP_BUS_CYCLES, CYCLE_NS);
	mini_boot(&m, code_out, sizeof(code_out));
	mini_lapic(&m, 0);
	before = bus_cycles(&m);
	mini_move(&m, 1);
	if (m.ok)
		after = bus_cycles(&m);
	ksft_print_msg("%u cycles, after a move %u\n", before, after);
	if (m.ok && (!before || !after)) {
		snprintf(m.why, sizeof(m.why), "cycles are not %u ns", CYCLE_NS);
		m.ok = false;
	}
	kept_end(&m, what);
}
