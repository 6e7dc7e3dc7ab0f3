// SPDX-License-Identifier: GPL-2.0-only
/*
 * The trace system "kvm". Instances have tracepoints of their own, in kvm_N;
 * while an event of "kvm" is enabled, every instance feeds it by a probe on its
 * own tracepoint. While it is not, nothing is attached to an instance.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/bitops.h>
#include <linux/module.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include "core.h"
#include "admin.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

static void trace_work_fn(struct work_struct *work);
static DECLARE_WORK(trace_work, trace_work_fn);

/*
 * trace_wanted has a bit for each event that somebody enabled. The work is
 * scheduled only while trace_open is set: events are there before init and
 * until after exit. Both are written under trace_lock.
 */
static DEFINE_SPINLOCK(trace_lock);
static unsigned long trace_wanted;
static bool trace_open;

/*
 * Called with the lock held that attaching a probe needs, so the instances are
 * asked later.
 */
static void trace_want(enum kvm_core_event event, bool on)
{
	spin_lock(&trace_lock);
	__assign_bit(event, &trace_wanted, on);
	if (trace_open)
		schedule_work(&trace_work);
	spin_unlock(&trace_lock);
}

int core_trace_entry_reg(void)
{
	trace_want(KVM_CORE_EVENT_ENTRY, true);
	return 0;
}

void core_trace_entry_unreg(void)
{
	trace_want(KVM_CORE_EVENT_ENTRY, false);
}

int core_trace_exit_reg(void)
{
	trace_want(KVM_CORE_EVENT_EXIT, true);
	return 0;
}

void core_trace_exit_unreg(void)
{
	trace_want(KVM_CORE_EVENT_EXIT, false);
}

int core_trace_mmio_reg(void)
{
	trace_want(KVM_CORE_EVENT_MMIO, true);
	return 0;
}

void core_trace_mmio_unreg(void)
{
	trace_want(KVM_CORE_EVENT_MMIO, false);
}

int core_trace_pio_reg(void)
{
	trace_want(KVM_CORE_EVENT_PIO, true);
	return 0;
}

void core_trace_pio_unreg(void)
{
	trace_want(KVM_CORE_EVENT_PIO, false);
}

int core_trace_msr_reg(void)
{
	trace_want(KVM_CORE_EVENT_MSR, true);
	return 0;
}

void core_trace_msr_unreg(void)
{
	trace_want(KVM_CORE_EVENT_MSR, false);
}

static void trace_set(struct core_instance *ci, unsigned long wanted)
{
	unsigned long change = ci->traced ^ wanted;
	unsigned int event;

	for_each_set_bit(event, &change, KVM_CORE_EVENTS) {
		int r = ci->inst->trace(event, wanted & BIT(event));

		if (r)
			pr_err("%s: cannot switch the tracing of event %u: error %d\n",
			       ci->inst->name, event, r);
		else
			ci->traced ^= BIT(event);
	}
}

static void trace_work_fn(struct work_struct *work)
{
	struct core_instance *ci;

	mutex_lock(&core_lock);
	list_for_each_entry(ci, &core_instances, link)
		if (ci->traceable)
			trace_set(ci, READ_ONCE(trace_wanted));
	mutex_unlock(&core_lock);
}

/**
 * core_trace_start - let an instance feed the events that are enabled
 * @ci: the instance
 *
 * Context: process; sleeps; core_lock held.
 */
void core_trace_start(struct core_instance *ci)
{
	ci->traceable = true;
	trace_set(ci, READ_ONCE(trace_wanted));
}

/**
 * core_trace_stop - take the probes of an instance away
 * @ci: the instance
 *
 * Before its text goes, tracepoint_synchronize_unregister() is due.
 *
 * Context: process; sleeps; core_lock held.
 */
void core_trace_stop(struct core_instance *ci)
{
	ci->traceable = false;
	trace_set(ci, 0);
}

/**
 * core_trace_open - the instances can be asked from now on
 *
 * Context: process.
 */
void core_trace_open(void)
{
	spin_lock(&trace_lock);
	trace_open = true;
	spin_unlock(&trace_lock);
}

/**
 * core_trace_close - undo core_trace_open()
 *
 * Context: process; sleeps until nothing of this file runs.
 */
void core_trace_close(void)
{
	spin_lock(&trace_lock);
	trace_open = false;
	spin_unlock(&trace_lock);
	cancel_work_sync(&trace_work);
}

/**
 * kvm_core_trace_entry - a vCPU enters its guest
 * @vcpu_id: its number in its VM
 * @rip: where the guest goes on
 * @immediate_exit: is an exit due at once
 *
 * Context: any; as the instance's own tracepoint.
 */
void kvm_core_trace_entry(unsigned int vcpu_id, unsigned long rip,
			  bool immediate_exit)
{
	trace_kvm_entry(vcpu_id, rip, immediate_exit);
}
EXPORT_SYMBOL_GPL(kvm_core_trace_entry);

/**
 * kvm_core_trace_exit - a vCPU left its guest
 * @exit: why
 *
 * Context: any; as the instance's own tracepoint.
 */
void kvm_core_trace_exit(const struct kvm_core_exit *exit)
{
	trace_kvm_exit(exit);
}
EXPORT_SYMBOL_GPL(kvm_core_trace_exit);

/**
 * kvm_core_trace_mmio - a guest's access to memory that is none
 * @type: as in the instance's own event
 * @len: bytes
 * @gpa: where
 * @val: what was read or written, 0 if nothing yet
 *
 * Context: any; as the instance's own tracepoint.
 */
void kvm_core_trace_mmio(u32 type, u32 len, u64 gpa, u64 val)
{
	trace_kvm_mmio(type, len, gpa, val);
}
EXPORT_SYMBOL_GPL(kvm_core_trace_mmio);

/**
 * kvm_core_trace_pio - a guest's access to a port
 * @rw: 0 it reads, 1 it writes
 * @port: which
 * @size: bytes of an access
 * @count: number of accesses
 * @val: the first value
 *
 * Context: any; as the instance's own tracepoint.
 */
void kvm_core_trace_pio(unsigned int rw, unsigned int port, unsigned int size,
			unsigned int count, unsigned int val)
{
	trace_kvm_pio(rw, port, size, count, val);
}
EXPORT_SYMBOL_GPL(kvm_core_trace_pio);

/**
 * kvm_core_trace_msr - a guest's access to an MSR
 * @write: 0 it reads, 1 it writes
 * @msr: which
 * @data: the value
 * @exception: did it get #GP instead
 *
 * Context: any; as the instance's own tracepoint.
 */
void kvm_core_trace_msr(unsigned int write, u32 msr, u64 data, bool exception)
{
	trace_kvm_msr(write, msr, data, exception);
}
EXPORT_SYMBOL_GPL(kvm_core_trace_msr);
