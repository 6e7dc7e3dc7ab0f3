// SPDX-License-Identifier: GPL-2.0-only
/*
 * Names of ioctls and capabilities, for reasons that people read. Those that
 * record.c knows, and those with which KVM on x86 does what a handoff cannot.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/kernel.h>
#include <linux/kvm.h>
#include <relay/compat.h>

#include "core.h"
#include "file.h"

struct name {
	unsigned int number;
	const char *name;
};

#define NAME(n) { n, #n }

static const struct name ioctls[] = {
	NAME(KVM_SET_TSS_ADDR),
	NAME(KVM_SET_IDENTITY_MAP_ADDR),
	NAME(KVM_SET_BOOT_CPU_ID),
	NAME(KVM_SET_NR_MMU_PAGES),
	NAME(KVM_SET_TSC_KHZ),
	NAME(KVM_ENABLE_CAP),
	NAME(KVM_CREATE_VCPU),
	NAME(KVM_CREATE_IRQCHIP),
	NAME(KVM_CREATE_PIT),
	NAME(KVM_CREATE_PIT2),
	NAME(KVM_CREATE_DEVICE),
	NAME(KVM_REINJECT_CONTROL),
	NAME(KVM_SET_USER_MEMORY_REGION),
	NAME(KVM_SET_GSI_ROUTING),
	NAME(KVM_X86_SET_MSR_FILTER),
	NAME(KVM_SET_PMU_EVENT_FILTER),
	NAME(KVM_REGISTER_COALESCED_MMIO),
	NAME(KVM_UNREGISTER_COALESCED_MMIO),
	NAME(KVM_IOEVENTFD),
	NAME(KVM_IRQFD),
	NAME(KVM_SET_CPUID),
	NAME(KVM_SET_CPUID2),
	NAME(KVM_SET_SIGNAL_MASK),
	NAME(KVM_SET_GUEST_DEBUG),
	NAME(KVM_TPR_ACCESS_REPORTING),
	NAME(KVM_SET_VAPIC_ADDR),
	NAME(KVM_X86_SETUP_MCE),
	NAME(KVM_SET_DEVICE_ATTR),
	NAME(KVM_GET_STATS_FD),
	NAME(KVM_HYPERV_EVENTFD),
	NAME(KVM_XEN_HVM_CONFIG),
	NAME(KVM_XEN_HVM_SET_ATTR),
	NAME(KVM_XEN_HVM_EVTCHN_SEND),
	NAME(KVM_XEN_VCPU_SET_ATTR),
	NAME(KVM_MEMORY_ENCRYPT_OP),
	NAME(KVM_MEMORY_ENCRYPT_REG_REGION),
	NAME(KVM_MEMORY_ENCRYPT_UNREG_REGION),
	RELAY_LATER_IOCTLS
};

static const struct name caps[] = {
	NAME(KVM_CAP_HYPERV_ENLIGHTENED_VMCS),
	NAME(KVM_CAP_HYPERV_DIRECT_TLBFLUSH),
	NAME(KVM_CAP_SGX_ATTRIBUTE),
	NAME(KVM_CAP_VM_COPY_ENC_CONTEXT_FROM),
	NAME(KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM),
};

static const char *find(const struct name *names, size_t n, unsigned int number,
			const char *what, char *buf, size_t len)
{
	while (n--)
		if (names[n].number == number)
			return names[n].name;
	snprintf(buf, len, "%s %#x", what, number);
	return buf;
}

/**
 * core_ioctl_name - an ioctl as people know it
 * @cmd: the ioctl
 * @buf: for one without a name
 *
 * Context: any.
 * Return: a name of the kernel's headers, or "ioctl" and its number, in @buf.
 */
const char *core_ioctl_name(unsigned int cmd, char buf[CORE_NAME_LEN])
{
	return find(ioctls, ARRAY_SIZE(ioctls), cmd, "ioctl", buf, CORE_NAME_LEN);
}

/**
 * core_cap_name - a capability as people know it
 * @cap: of struct kvm_enable_cap
 * @buf: for one without a name
 *
 * Context: any.
 * Return: a name of the kernel's headers, or "capability" and its number, in @buf.
 */
const char *core_cap_name(u32 cap, char buf[CORE_NAME_LEN])
{
	return find(caps, ARRAY_SIZE(caps), cap, "capability", buf, CORE_NAME_LEN);
}
