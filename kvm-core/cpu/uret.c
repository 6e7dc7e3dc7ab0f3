// SPDX-License-Identifier: GPL-2.0-only
/*
 * User-return MSRs: a guest's value may stay in them while the host kernel
 * runs, and goes when the CPU returns to user mode. Also the host MSRs that
 * can be sampled only while no guest runs.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/cpu.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/user-return-notifier.h>
#include <asm/msr.h>

#include "core.h"
#include "cpu.h"

#define URET_MAX 32

/*
 * @host: what user mode of the host must find
 * @curr: what the MSR holds
 *
 * Touched on its CPU only, with interrupts disabled, or with preemption
 * disabled where nothing in an interrupt may write: kvm_core_uret_set() runs
 * against core_uret_cpu_restore() of the same CPU only when that CPU's last
 * user goes, and then there is no vCPU.
 */
struct uret_cpu {
	struct user_return_notifier urn;
	bool registered;
	struct {
		u64 host;
		u64 curr;
	} values[URET_MAX];
};

static DEFINE_PER_CPU(struct uret_cpu, uret_cpu);

/* Slots are only added: a number given to an instance stays valid. */
static DEFINE_MUTEX(uret_lock);
static u32 uret_msrs[URET_MAX];
static unsigned int uret_nr;

static u64 host_efer;
static u64 host_xss;

static void uret_restore(struct uret_cpu *uc, u32 keep)
{
	unsigned int nr = READ_ONCE(uret_nr);
	unsigned int slot;

	for (slot = 0; slot < nr; slot++) {
		if (keep & BIT(slot))
			continue;
		if (uc->values[slot].curr == uc->values[slot].host)
			continue;
		wrmsrl(uret_msrs[slot], uc->values[slot].host);
		uc->values[slot].curr = uc->values[slot].host;
	}
}

static void uret_on_user_return(struct user_return_notifier *urn)
{
	struct uret_cpu *uc = container_of(urn, struct uret_cpu, urn);
	unsigned long flags;

	/* Against kvm_core_cpu_put() in an interrupt. */
	local_irq_save(flags);
	if (uc->registered) {
		uc->registered = false;
		user_return_notifier_unregister(urn);
	}
	uret_restore(uc, 0);
	local_irq_restore(flags);
}

/**
 * core_uret_cpu_restore - give this CPU's MSRs the host's values
 * @keep: mask of slots that are left alone; 0 restores all and ends the wait
 *	for the return to user mode
 *
 * Context: preemption disabled.
 */
void core_uret_cpu_restore(u32 keep)
{
	struct uret_cpu *uc = this_cpu_ptr(&uret_cpu);
	unsigned long flags;

	if (!keep) {
		uret_on_user_return(&uc->urn);
		return;
	}
	local_irq_save(flags);
	uret_restore(uc, keep);
	local_irq_restore(flags);
}

static void uret_sample(struct uret_cpu *uc, unsigned int slot)
{
	u64 value = 0;

	rdmsrl_safe(uret_msrs[slot], &value);
	uc->values[slot].host = value;
	uc->values[slot].curr = value;
}

/**
 * core_uret_cpu_sample - read the host's values on this CPU
 *
 * Context: interrupts disabled; no instance uses this CPU.
 */
void core_uret_cpu_sample(void)
{
	struct uret_cpu *uc = this_cpu_ptr(&uret_cpu);
	unsigned int nr = READ_ONCE(uret_nr);
	unsigned int slot;

	for (slot = 0; slot < nr; slot++)
		uret_sample(uc, slot);
}

struct uret_probe {
	u32 msr;
	int slot;
	int err;
};

/* Writing back what was read shows whether the MSR can be written at all. */
static void uret_probe_cpu(void *data)
{
	struct uret_probe *probe = data;
	u64 value;

	probe->err = rdmsrl_safe(probe->msr, &value);
	if (!probe->err)
		probe->err = wrmsrl_safe(probe->msr, value);
}

static void uret_sample_cpu(void *data)
{
	struct uret_probe *probe = data;

	uret_sample(this_cpu_ptr(&uret_cpu), probe->slot);
}

/**
 * kvm_core_uret_add - an instance wants to manage a user-return MSR
 * @inst: the instance
 * @msr: its number
 *
 * The host's value is sampled now if no instance managed @msr so far, on every
 * CPU; CPUs that come later are sampled when they are first used.
 *
 * Context: process; sleeps.
 * Return: kvm-core's slot, -ENXIO if the CPU has no such MSR, -ENOSPC.
 */
int kvm_core_uret_add(struct kvm_core_instance *inst, u32 msr)
{
	struct core_instance *ci = core_of(inst);
	struct uret_probe probe = { .msr = msr };
	int slot;

	cpus_read_lock();
	mutex_lock(&uret_lock);
	for (slot = 0; slot < uret_nr; slot++)
		if (uret_msrs[slot] == msr)
			goto found;

	smp_call_function_single(get_cpu(), uret_probe_cpu, &probe, 1);
	put_cpu();
	if (probe.err) {
		slot = -ENXIO;
		goto out;
	}
	if (uret_nr == URET_MAX) {
		pr_err("%s: more than %d user-return MSRs\n", inst->name,
		       URET_MAX);
		slot = -ENOSPC;
		goto out;
	}
	uret_msrs[slot] = msr;
	probe.slot = slot;
	on_each_cpu(uret_sample_cpu, &probe, 1);
	/* After the samples: uret_restore() looks no further than this. */
	smp_store_release(&uret_nr, slot + 1);
found:
	ci->uret_mask |= BIT(slot);
out:
	mutex_unlock(&uret_lock);
	cpus_read_unlock();
	return slot;
}
EXPORT_SYMBOL_GPL(kvm_core_uret_add);

/**
 * kvm_core_uret_msr - the MSR of a slot
 * @slot: from kvm_core_uret_add()
 *
 * Context: any.
 */
u32 kvm_core_uret_msr(unsigned int slot)
{
	return uret_msrs[slot];
}
EXPORT_SYMBOL_GPL(kvm_core_uret_msr);

/**
 * kvm_core_uret_set - load a guest's value until this CPU returns to user mode
 * @slot: from kvm_core_uret_add()
 * @value: the guest's
 * @mask: bits that are taken from @value; the others are the host's
 *
 * Context: preemption disabled.
 * Return: 0, or 1 if the CPU refuses the value.
 */
int kvm_core_uret_set(unsigned int slot, u64 value, u64 mask)
{
	struct uret_cpu *uc = this_cpu_ptr(&uret_cpu);

	value = (value & mask) | (uc->values[slot].host & ~mask);
	if (value == uc->values[slot].curr)
		return 0;
	if (wrmsrl_safe(uret_msrs[slot], value))
		return 1;
	uc->values[slot].curr = value;
	if (!uc->registered) {
		uc->urn.on_user_return = uret_on_user_return;
		user_return_notifier_register(&uc->urn);
		uc->registered = true;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(kvm_core_uret_set);

/**
 * kvm_core_host_efer - EFER of the host, without SVME
 *
 * Context: any.
 */
u64 kvm_core_host_efer(void)
{
	return host_efer;
}
EXPORT_SYMBOL_GPL(kvm_core_host_efer);

/**
 * kvm_core_host_xss - IA32_XSS of the host
 *
 * Context: any.
 */
u64 kvm_core_host_xss(void)
{
	return host_xss;
}
EXPORT_SYMBOL_GPL(kvm_core_host_xss);

/**
 * core_uret_init - sample what instances may no longer be able to
 *
 * Context: process; before the first instance.
 */
void core_uret_init(void)
{
	rdmsrl_safe(MSR_EFER, &host_efer);
	if (boot_cpu_has(X86_FEATURE_XSAVES))
		rdmsrl(MSR_IA32_XSS, host_xss);
}
