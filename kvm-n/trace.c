// SPDX-License-Identifier: GPL-2.0-only
/*
 * Probes on this instance's tracepoints that feed kvm-core's events of the
 * trace system "kvm". They are attached only while those are enabled.
 */
#include <linux/kvm_host.h>

#include "kvm_cache_regs.h"
#include "x86.h"
#include "trace.h"
#include "relay.h"

#include <trace/events/kvm.h>

static void probe_entry(void *data, struct kvm_vcpu *vcpu, bool immediate_exit)
{
	kvm_core_trace_entry(vcpu->vcpu_id, kvm_rip_read(vcpu), immediate_exit);
}

static void probe_exit(void *data, struct kvm_vcpu *vcpu, u32 isa)
{
	struct kvm_core_exit exit = {
		.vcpu_id = vcpu->vcpu_id,
		.isa = isa,
		.rip = kvm_rip_read(vcpu),
	};

	static_call(kvm_x86_get_exit_info)(vcpu, &exit.reason, &exit.info1,
					   &exit.info2, &exit.intr_info,
					   &exit.error_code);
	kvm_core_trace_exit(&exit);
}

static void probe_mmio(void *data, int type, int len, u64 gpa, void *val)
{
	u64 value = 0;

	if (val)
		memcpy(&value, val, clamp_t(int, len, 0, sizeof(value)));
	kvm_core_trace_mmio(type, len, gpa, value);
}

static void probe_pio(void *data, unsigned int rw, unsigned int port,
		      unsigned int size, unsigned int count, const void *val)
{
	unsigned int value = 0;

	memcpy(&value, val, min_t(size_t, size, sizeof(value)));
	kvm_core_trace_pio(rw, port, size, count, value);
}

static void probe_msr(void *data, unsigned int write, u32 msr, u64 value,
		      bool exception)
{
	kvm_core_trace_msr(write, msr, value, exception);
}

int kvm_relay_trace(unsigned int event, bool on)
{
	switch (event) {
	case KVM_CORE_EVENT_ENTRY:
		return on ? register_trace_kvm_entry(probe_entry, NULL) :
			    unregister_trace_kvm_entry(probe_entry, NULL);
	case KVM_CORE_EVENT_EXIT:
		return on ? register_trace_kvm_exit(probe_exit, NULL) :
			    unregister_trace_kvm_exit(probe_exit, NULL);
	case KVM_CORE_EVENT_MMIO:
		return on ? register_trace_kvm_mmio(probe_mmio, NULL) :
			    unregister_trace_kvm_mmio(probe_mmio, NULL);
	case KVM_CORE_EVENT_PIO:
		return on ? register_trace_kvm_pio(probe_pio, NULL) :
			    unregister_trace_kvm_pio(probe_pio, NULL);
	case KVM_CORE_EVENT_MSR:
		return on ? register_trace_kvm_msr(probe_msr, NULL) :
			    unregister_trace_kvm_msr(probe_msr, NULL);
	default:
		return -EINVAL;
	}
}
