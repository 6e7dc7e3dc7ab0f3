// SPDX-License-Identifier: GPL-2.0-only
/*
 * Virtualization on or off, per CPU; CPU hotplug, suspend, reboot.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/module.h>
#include <linux/rculist.h>
#include <linux/reboot.h>
#include <relay/compat.h>

#include "core.h"
#include "cpu.h"

/*
 * Set before virtualization is turned off for a reboot: the fault fixups of
 * every instance, assembly included, then take a fault in VMX or SVM
 * instructions as expected. That the distribution's kvm.ko exports the same
 * name keeps the module loader from having both.
 */
bool kvm_rebooting;
EXPORT_SYMBOL_GPL(kvm_rebooting);

/*
 * Instances that have virtualization in use on this CPU. Touched on its CPU
 * only, with interrupts disabled.
 */
static DEFINE_PER_CPU(unsigned int, core_cpu_users);

static const enum cpuhp_state core_hp_states[CORE_HP_MAX] = {
	[CORE_HP_KVM] = RELAY_CPUHP_KVM,
	[CORE_HP_CLK] = CPUHP_AP_X86_KVM_CLK_ONLINE,
};

static int core_hp_of(int state)
{
	int i;

	for (i = 0; i < CORE_HP_MAX; i++)
		if (core_hp_states[i] == state)
			return i;
	return -EINVAL;
}

/**
 * core_cpu_enabled - is virtualization on for this CPU
 *
 * Context: preemption disabled.
 */
bool core_cpu_enabled(void)
{
	return __this_cpu_read(core_cpu_users);
}

/**
 * kvm_core_cpu_get - turn virtualization on for this CPU, or count one user more
 * @inst: the user; it takes each CPU once
 *
 * Context: bound to the CPU meant, which may be coming up or going down.
 * Return: 0, -EBUSY if somebody outside kvm-core has it on, -EFAULT or -EIO if
 * the CPU refuses.
 */
int kvm_core_cpu_get(struct kvm_core_instance *inst)
{
	unsigned long flags;
	int r = 0;

	local_irq_save(flags);
	if (!__this_cpu_read(core_cpu_users)) {
		if (inst->vendor == KVM_CORE_INTEL)
			r = core_vmx_enable();
		else
			r = core_svm_enable();
		if (r)
			goto out;
		core_uret_cpu_sample();
	}
	__this_cpu_inc(core_cpu_users);
out:
	local_irq_restore(flags);
	return r;
}
EXPORT_SYMBOL_GPL(kvm_core_cpu_get);

/**
 * kvm_core_cpu_put - count one user of this CPU less, the last turns it off
 * @inst: the user; none of its VMCSs is loaded on this CPU any more
 *
 * The MSRs of guests go back to the host's values only with the last user:
 * this may be an interrupt between another instance's loading of them and its
 * VM entry.
 *
 * Context: as kvm_core_cpu_get().
 */
void kvm_core_cpu_put(struct kvm_core_instance *inst)
{
	unsigned long flags;

	local_irq_save(flags);
	if (WARN_ON_ONCE(!__this_cpu_read(core_cpu_users)))
		goto out;
	if (__this_cpu_dec_return(core_cpu_users))
		goto out;
	if (inst->vendor == KVM_CORE_INTEL)
		core_vmx_disable();
	else
		core_svm_disable();
	core_uret_cpu_restore(0);
out:
	local_irq_restore(flags);
}
EXPORT_SYMBOL_GPL(kvm_core_cpu_put);

struct core_hp_call {
	int (*fn)(unsigned int cpu);
	unsigned int cpu;
};

static long core_hp_invoke(void *data)
{
	struct core_hp_call *call = data;

	return call->fn(call->cpu);
}

/* Of an instance's callbacks the one for a CPU that goes, on those that are below @end. */
static void core_hp_undo(struct core_instance *ci, enum core_hp hp, int end)
{
	int cpu;

	if (!ci->teardown[hp])
		return;
	for_each_online_cpu(cpu) {
		struct core_hp_call call = { ci->teardown[hp], cpu };

		if (cpu < end)
			work_on_cpu(cpu, core_hp_invoke, &call);
	}
}

/**
 * kvm_core_cpuhp_setup - an instance's callbacks for one of KVM's cpuhp states
 * @inst: the instance
 * @state: RELAY_CPUHP_KVM or CPUHP_AP_X86_KVM_CLK_ONLINE
 * @invoke: call @startup now, on every CPU that is online
 * @startup: CPU comes; context as of the state
 * @teardown: CPU goes
 *
 * Context: process; sleeps.
 * Return: 0, -EINVAL for another state, or what @startup returned.
 */
int kvm_core_cpuhp_setup(struct kvm_core_instance *inst, int state, bool invoke,
			 int (*startup)(unsigned int cpu),
			 int (*teardown)(unsigned int cpu))
{
	struct core_instance *ci = core_of(inst);
	int hp = core_hp_of(state);
	int r = 0;
	int cpu;

	if (hp < 0)
		return hp;

	cpus_read_lock();
	ci->startup[hp] = startup;
	ci->teardown[hp] = teardown;
	if (invoke && startup) {
		for_each_online_cpu(cpu) {
			struct core_hp_call call = { startup, cpu };

			r = work_on_cpu(cpu, core_hp_invoke, &call);
			if (r) {
				core_hp_undo(ci, hp, cpu);
				ci->startup[hp] = NULL;
				ci->teardown[hp] = NULL;
				break;
			}
		}
	}
	cpus_read_unlock();
	return r;
}
EXPORT_SYMBOL_GPL(kvm_core_cpuhp_setup);

/**
 * kvm_core_cpuhp_remove - undo kvm_core_cpuhp_setup()
 * @inst: the instance
 * @state: the state
 * @invoke: call the teardown callback now, on every CPU that is online
 *
 * Context: process; sleeps.
 */
void kvm_core_cpuhp_remove(struct kvm_core_instance *inst, int state,
			   bool invoke)
{
	struct core_instance *ci = core_of(inst);
	int hp = core_hp_of(state);

	if (WARN_ON_ONCE(hp < 0))
		return;

	cpus_read_lock();
	if (invoke)
		core_hp_undo(ci, hp, nr_cpu_ids);
	ci->startup[hp] = NULL;
	ci->teardown[hp] = NULL;
	cpus_read_unlock();
}
EXPORT_SYMBOL_GPL(kvm_core_cpuhp_remove);

static int core_hp_down_until(enum core_hp hp, unsigned int cpu,
			      const struct core_instance *last)
{
	struct core_instance *ci;

	list_for_each_entry_rcu(ci, &core_instances, link) {
		int (*fn)(unsigned int cpu) = READ_ONCE(ci->teardown[hp]);

		if (ci == last)
			break;
		if (fn)
			fn(cpu);
	}
	return 0;
}

static int core_hp_down(enum core_hp hp, unsigned int cpu)
{
	int r;

	rcu_read_lock();
	r = core_hp_down_until(hp, cpu, NULL);
	rcu_read_unlock();
	return r;
}

/* A KVM that cannot have the CPU keeps it from coming up, if it says so at all. */
static int core_hp_up(enum core_hp hp, unsigned int cpu)
{
	struct core_instance *ci;
	int r = 0;

	rcu_read_lock();
	list_for_each_entry_rcu(ci, &core_instances, link) {
		int (*fn)(unsigned int cpu) = READ_ONCE(ci->startup[hp]);

		r = fn ? fn(cpu) : 0;
		if (r) {
			core_hp_down_until(hp, cpu, ci);
			break;
		}
	}
	rcu_read_unlock();
	return r;
}

static int core_kvm_up(unsigned int cpu)
{
	return core_hp_up(CORE_HP_KVM, cpu);
}

static int core_kvm_down(unsigned int cpu)
{
	return core_hp_down(CORE_HP_KVM, cpu);
}

static int core_clk_up(unsigned int cpu)
{
	return core_hp_up(CORE_HP_CLK, cpu);
}

static int core_clk_down(unsigned int cpu)
{
	return core_hp_down(CORE_HP_CLK, cpu);
}

/**
 * kvm_core_syscore_set - an instance's suspend and resume
 * @inst: the instance
 * @suspend: does not sleep and takes no lock; NULL removes both
 * @resume: as @suspend
 *
 * @suspend also serves at reboot: whatever runs, it takes the instance off
 * the CPU.
 *
 * Context: process.
 */
void kvm_core_syscore_set(struct kvm_core_instance *inst, int (*suspend)(void),
			  void (*resume)(void))
{
	struct core_instance *ci = core_of(inst);

	WRITE_ONCE(ci->resume, resume);
	WRITE_ONCE(ci->suspend, suspend);
	if (!suspend)
		synchronize_rcu();
}
EXPORT_SYMBOL_GPL(kvm_core_syscore_set);

static int core_suspend(void)
{
	struct core_instance *ci;

	rcu_read_lock();
	list_for_each_entry_rcu(ci, &core_instances, link) {
		int (*suspend)(void) = READ_ONCE(ci->suspend);

		if (suspend)
			suspend();
	}
	rcu_read_unlock();
	return 0;
}

static void core_resume(void)
{
	struct core_instance *ci;

	rcu_read_lock();
	list_for_each_entry_rcu(ci, &core_instances, link) {
		void (*resume)(void) = READ_ONCE(ci->resume);

		if (resume)
			resume();
	}
	rcu_read_unlock();
}

RELAY_SYSCORE(core_syscore, core_suspend, core_resume);

static void core_reboot_cpu(void *unused)
{
	core_suspend();
}

static int core_reboot(struct notifier_block *nb, unsigned long action,
		       void *data)
{
	WRITE_ONCE(kvm_rebooting, true);
	on_each_cpu(core_reboot_cpu, NULL, 1);
	return NOTIFY_OK;
}

static struct notifier_block core_reboot_notifier = {
	.notifier_call = core_reboot,
};

/**
 * core_cpu_init - take KVM's cpuhp states and the host's power hooks
 *
 * Context: process; sleeps.
 * Return: 0, or -EBUSY if another KVM has the states.
 */
int core_cpu_init(void)
{
	int r;

	r = cpuhp_setup_state_nocalls(RELAY_CPUHP_KVM, "kvm-core/cpu",
				      core_kvm_up, core_kvm_down);
	if (r)
		return r;
	r = cpuhp_setup_state_nocalls(CPUHP_AP_X86_KVM_CLK_ONLINE,
				      "kvm-core/clk:online",
				      core_clk_up, core_clk_down);
	if (r) {
		cpuhp_remove_state_nocalls(RELAY_CPUHP_KVM);
		return r;
	}
	register_reboot_notifier(&core_reboot_notifier);
	relay_register_syscore(&core_syscore);
	return 0;
}

/**
 * core_cpu_exit - undo core_cpu_init()
 *
 * Context: process; sleeps.
 */
void core_cpu_exit(void)
{
	relay_unregister_syscore(&core_syscore);
	unregister_reboot_notifier(&core_reboot_notifier);
	cpuhp_remove_state_nocalls(CPUHP_AP_X86_KVM_CLK_ONLINE);
	cpuhp_remove_state_nocalls(RELAY_CPUHP_KVM);
}
