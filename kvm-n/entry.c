// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry checks: with kvm-core's entry_checks=1, the vendor's vcpu_run is
 * reached through kvm_relay_check_entry(). Without, nothing is added to it.
 */
#include <linux/kvm_host.h>

#include "relay.h"
#include "compat.h"

static fastpath_t (*vcpu_run)(struct kvm_vcpu *vcpu, u64 run_flags);

static fastpath_t checked_vcpu_run(struct kvm_vcpu *vcpu, u64 run_flags)
{
	kvm_relay_check_entry(vcpu);
	return vcpu_run(vcpu, run_flags);
}

static void check_entries(struct kvm_x86_ops *ops)
{
	if (!kvm_relay_instance.entry_checks)
		return;
	vcpu_run = ops->vcpu_run;
	ops->vcpu_run = checked_vcpu_run;
}

WRAP_INIT(check_entries)
