// SPDX-License-Identifier: GPL-2.0-only
/*
 * Capabilities: which are enabled again on another instance, and what of two that were
 * enabled one after the other holds.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/kvm.h>
#include <relay/compat.h>

#include "core.h"
#include "file.h"

/* Of all VMs: what KVM_ENABLE_CAP may have enabled and is enabled again. */
static bool vm_cap_known(u32 cap)
{
	switch (cap) {
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
	case KVM_CAP_HALT_POLL:
	case KVM_CAP_DISABLE_QUIRKS:
	case KVM_CAP_DISABLE_QUIRKS2:
	case KVM_CAP_SPLIT_IRQCHIP:
	case KVM_CAP_X2APIC_API:
	case KVM_CAP_X86_DISABLE_EXITS:
	case KVM_CAP_MSR_PLATFORM_INFO:
	case KVM_CAP_EXCEPTION_PAYLOAD:
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT:
	case KVM_CAP_X86_USER_SPACE_MSR:
	case KVM_CAP_X86_BUS_LOCK_EXIT:
	case KVM_CAP_EXIT_HYPERCALL:
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE:
	case KVM_CAP_PMU_CAPABILITY:
	case KVM_CAP_MAX_VCPU_ID:
	case KVM_CAP_X86_NOTIFY_VMEXIT:
	case KVM_CAP_VM_DISABLE_NX_HUGE_PAGES:
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL:
	case RELAY_CAP_BUS_CYCLES:
		return true;
	}
	return false;
}

static bool vcpu_cap_known(u32 cap)
{
	switch (cap) {
	case KVM_CAP_ENFORCE_PV_FEATURE_CPUID:
	case KVM_CAP_HYPERV_SYNIC:
	case KVM_CAP_HYPERV_SYNIC2:
	case KVM_CAP_HYPERV_ENFORCE_CPUID:
		return true;
	}
	return false;
}

/**
 * core_cap_known - is a capability enabled again by a handoff
 * @cf: descriptor of the VM or vCPU
 * @cap: which was enabled
 *
 * Context: any.
 */
bool core_cap_known(const struct core_file *cf, u32 cap)
{
	return cf->kind == CORE_FILE_VM ? vm_cap_known(cap) : vcpu_cap_known(cap);
}

/**
 * core_cap_key - of two capabilities that set the same, the later one holds
 * @cap: the one to be enabled
 *
 * Context: any.
 * Return: a number that both have.
 */
u32 core_cap_key(const struct kvm_enable_cap *cap)
{
	switch (cap->cap) {
	case KVM_CAP_DISABLE_QUIRKS2:
		return KVM_CAP_DISABLE_QUIRKS;
	case KVM_CAP_HYPERV_SYNIC2:
		return KVM_CAP_HYPERV_SYNIC;
	}
	return cap->cap;
}

/**
 * core_cap_phase - when a capability is enabled again
 * @cap: how it is enabled
 * @usual: when most are, of this descriptor
 *
 * Context: any.
 */
enum core_phase core_cap_phase(const struct kvm_enable_cap *cap, enum core_phase usual)
{
	switch (cap->cap) {
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2:
		/*
		 * The new VM has its memslots by then: with KVM_DIRTY_LOG_INITIALLY_SET all of
		 * their pages would be dirty, and those that are go to the VMM by dirty.c.
		 */
		return CORE_PHASE_ROUTE;
	case RELAY_CAP_BUS_CYCLES:
		/* Of a VM that has LAPICs, and no vCPU. */
		return CORE_PHASE_PIT;
	}
	return usual;
}

/**
 * core_cap_add - one was enabled again
 * @cap: how; from here on what both have enabled
 * @old: and how before
 *
 * KVM only ever adds to what some have enabled, so what @old has is still there: one entry
 * has it all, however often they are enabled.
 *
 * Context: any.
 */
void core_cap_add(struct kvm_enable_cap *cap, const struct kvm_enable_cap *old)
{
	switch (cap->cap) {
	case KVM_CAP_X86_DISABLE_EXITS:
	case KVM_CAP_X2APIC_API:
		cap->args[0] |= old->args[0];
		break;
	case KVM_CAP_X86_BUS_LOCK_EXIT:
		/* Which excludes KVM_BUS_LOCK_DETECTION_OFF, and outlives it. */
		if (old->args[0] & KVM_BUS_LOCK_DETECTION_EXIT)
			cap->args[0] = old->args[0];
		break;
	}
}
