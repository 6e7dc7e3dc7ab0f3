// SPDX-License-Identifier: GPL-2.0-only
/*
 * Callbacks of which the kernel takes one: perf's guest callbacks, the
 * posted-interrupt wakeup handler, the emergency callback, AVIC's GA log
 * notifier, Hyper-V's TSC callback. kvm-core registers itself and asks the
 * instances.
 *
 * The pointers are in struct core_instance. They are read under RCU, in IRQ
 * and NMI context too; who clears one waits for a grace period.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

/* amd-iommu.h uses it without including it. */
#include <linux/errno.h>
#include <linux/amd-iommu.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/perf_event.h>
#include <linux/rculist.h>
#include <asm/hypervisor.h>
#include <asm/irq.h>
#include <asm/mshyperv.h>
#include <asm/reboot.h>

#include "core.h"
#include "cpu.h"

/* Counts of instances that have a callback of a kind; under callbacks_lock. */
static DEFINE_MUTEX(callbacks_lock);
static unsigned int perf_users;
static unsigned int wakeup_users;
static unsigned int emergency_users;
static bool ga_log_registered;

/*
 * A perf interrupt is about the guest that this CPU runs, so it is for the
 * instance that loaded a vCPU here last.
 */
static struct perf_guest_info_callbacks *perf_active(void)
{
	struct kvm_core_instance *inst = __this_cpu_read(kvm_core_active);
	struct core_instance *ci = inst ? core_of(inst) : NULL;

	return ci ? READ_ONCE(ci->perf) : NULL;
}

static unsigned int core_perf_state(void)
{
	struct perf_guest_info_callbacks *cbs = perf_active();

	return cbs ? cbs->state() : 0;
}

static unsigned long core_perf_get_ip(void)
{
	struct perf_guest_info_callbacks *cbs = perf_active();

	return cbs ? cbs->get_ip() : 0;
}

static unsigned int core_perf_intel_pt_intr(void)
{
	struct perf_guest_info_callbacks *cbs = perf_active();

	return cbs && cbs->handle_intel_pt_intr ?
		cbs->handle_intel_pt_intr() : 0;
}

static struct perf_guest_info_callbacks core_perf_cbs = {
	.state = core_perf_state,
	.get_ip = core_perf_get_ip,
	.handle_intel_pt_intr = core_perf_intel_pt_intr,
};

/**
 * kvm_core_perf_set - an instance's guest callbacks for perf
 * @inst: the instance
 * @cbs: the callbacks, or NULL
 *
 * Context: process; sleeps.
 * Return: 0.
 */
int kvm_core_perf_set(struct kvm_core_instance *inst,
		      struct perf_guest_info_callbacks *cbs)
{
	struct core_instance *ci = core_of(inst);
	struct perf_guest_info_callbacks *old;

	mutex_lock(&callbacks_lock);
	old = ci->perf;
	if (cbs && !old && !perf_users++)
		perf_register_guest_info_callbacks(&core_perf_cbs);
	WRITE_ONCE(ci->perf, cbs);
	if (!cbs && old) {
		if (!--perf_users)
			perf_unregister_guest_info_callbacks(&core_perf_cbs);
		else
			synchronize_rcu();
	}
	mutex_unlock(&callbacks_lock);
	return 0;
}
EXPORT_SYMBOL_GPL(kvm_core_perf_set);

/*
 * The vector does not say whose vCPU is meant: each instance looks through its
 * own list of blocked vCPUs of this CPU.
 */
static void core_wakeup(void)
{
	struct core_instance *ci;

	rcu_read_lock();
	list_for_each_entry_rcu(ci, &core_instances, link) {
		void (*handler)(void) = READ_ONCE(ci->wakeup);

		if (handler)
			handler();
	}
	rcu_read_unlock();
}

/**
 * kvm_core_wakeup_set - an instance's posted-interrupt wakeup handler
 * @inst: the instance
 * @handler: called with interrupts disabled; NULL removes
 *
 * Context: process; sleeps.
 */
void kvm_core_wakeup_set(struct kvm_core_instance *inst, void (*handler)(void))
{
	struct core_instance *ci = core_of(inst);
	void (*old)(void);

	mutex_lock(&callbacks_lock);
	old = ci->wakeup;
	WRITE_ONCE(ci->wakeup, handler);
	if (handler && !old && !wakeup_users++)
		kvm_set_posted_intr_wakeup_handler(core_wakeup);
	if (!handler && old) {
		if (!--wakeup_users)
			kvm_set_posted_intr_wakeup_handler(NULL);
		synchronize_rcu();
	}
	mutex_unlock(&callbacks_lock);
}
EXPORT_SYMBOL_GPL(kvm_core_wakeup_set);

/* Every instance clears its VMCSs of this CPU, and only then VMX goes off, or SVM. */
static void core_emergency(void)
{
	struct core_instance *ci;

	list_for_each_entry_rcu(ci, &core_instances, link) {
		void (*handler)(void) = READ_ONCE(ci->emergency);

		if (handler)
			handler();
	}
	if (core_vmx_supported())
		core_vmx_emergency_off();
	else
		core_svm_emergency_off();
}

/**
 * kvm_core_emergency_set - what an instance does in a crash, on each CPU
 * @inst: the instance
 * @handler: called with interrupts disabled, perhaps in NMI; NULL removes
 *
 * Context: process; sleeps.
 */
void kvm_core_emergency_set(struct kvm_core_instance *inst,
			    void (*handler)(void))
{
	struct core_instance *ci = core_of(inst);
	void (*old)(void);

	mutex_lock(&callbacks_lock);
	old = ci->emergency;
	WRITE_ONCE(ci->emergency, handler);
	if (handler && !old && !emergency_users++)
		cpu_emergency_register_virt_callback(core_emergency);
	if (!handler && old) {
		if (!--emergency_users)
			cpu_emergency_unregister_virt_callback(core_emergency);
		else
			synchronize_rcu();
	}
	mutex_unlock(&callbacks_lock);
}
EXPORT_SYMBOL_GPL(kvm_core_emergency_set);

/* The ids in GATags are the host's, so at most one instance finds its VM. */
static int core_ga_log(u32 tag)
{
	struct core_instance *ci;

	rcu_read_lock();
	list_for_each_entry_rcu(ci, &core_instances, link) {
		int (*handler)(u32 tag) = READ_ONCE(ci->ga_log);

		if (handler)
			handler(tag);
	}
	rcu_read_unlock();
	return 0;
}

/**
 * kvm_core_ga_log_set - an instance's handler for the IOMMU's GA log
 * @inst: the instance
 * @handler: does not sleep; NULL removes
 *
 * The IOMMU driver never lets go of a notifier that it was given, so the first
 * call keeps kvm-core loaded for good.
 *
 * Context: process; sleeps.
 * Return: 0, or an error of the IOMMU driver.
 */
int kvm_core_ga_log_set(struct kvm_core_instance *inst, int (*handler)(u32))
{
	struct core_instance *ci = core_of(inst);
	int r = 0;

	mutex_lock(&callbacks_lock);
	WRITE_ONCE(ci->ga_log, handler);
	if (handler && !ga_log_registered) {
		r = amd_iommu_register_ga_log_notifier(core_ga_log);
		if (!r) {
			__module_get(THIS_MODULE);
			ga_log_registered = true;
		} else {
			WRITE_ONCE(ci->ga_log, NULL);
		}
	}
	if (!handler)
		synchronize_rcu();
	mutex_unlock(&callbacks_lock);
	return r;
}
EXPORT_SYMBOL_GPL(kvm_core_ga_log_set);

#if IS_ENABLED(CONFIG_HYPERV)
static unsigned int hv_tsc_users;

static void core_hv_tsc(void)
{
	struct core_instance *ci;

	/* The handlers sleep; instances come and go under core_lock. */
	mutex_lock(&core_lock);
	list_for_each_entry(ci, &core_instances, link) {
		void (*handler)(void) = READ_ONCE(ci->hv_tsc);

		if (handler)
			handler();
	}
	mutex_unlock(&core_lock);
}

/**
 * kvm_core_hv_tsc_set - an instance's callback for a change of Hyper-V's TSC
 * @inst: the instance
 * @handler: may sleep; NULL removes
 *
 * Context: process; sleeps.
 */
void kvm_core_hv_tsc_set(struct kvm_core_instance *inst, void (*handler)(void))
{
	struct core_instance *ci = core_of(inst);
	void (*old)(void);

	mutex_lock(&callbacks_lock);
	mutex_lock(&core_lock);
	old = ci->hv_tsc;
	WRITE_ONCE(ci->hv_tsc, handler);
	mutex_unlock(&core_lock);
	if (handler && !old && !hv_tsc_users++)
		set_hv_tscchange_cb(core_hv_tsc);
	if (!handler && old && !--hv_tsc_users)
		clear_hv_tscchange_cb();
	mutex_unlock(&callbacks_lock);
}
EXPORT_SYMBOL_GPL(kvm_core_hv_tsc_set);
#endif

/**
 * core_callbacks_clear - an instance goes, whatever it forgot to remove
 * @ci: the instance
 *
 * Context: process; sleeps.
 */
void core_callbacks_clear(struct core_instance *ci)
{
	struct kvm_core_instance *inst = ci->inst;

	kvm_core_perf_set(inst, NULL);
	kvm_core_wakeup_set(inst, NULL);
	kvm_core_emergency_set(inst, NULL);
	if (ci->ga_log)
		kvm_core_ga_log_set(inst, NULL);
#if IS_ENABLED(CONFIG_HYPERV)
	kvm_core_hv_tsc_set(inst, NULL);
#endif
}
