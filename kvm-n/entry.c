// SPDX-License-Identifier: GPL-2.0-only
/*
 * Entry checks: with kvm-core's entry_checks=1, the vendor's vcpu_run is
 * reached through kvm_relay_check_entry(). Without, nothing is added to it.
 */
#include <linux/kvm_host.h>

#include "relay.h"

WRAP(kvm_init);
REAL(kvm_init);

static fastpath_t (*vcpu_run)(struct kvm_vcpu *vcpu, u64 run_flags);

static fastpath_t checked_vcpu_run(struct kvm_vcpu *vcpu, u64 run_flags)
{
	kvm_relay_check_entry(vcpu);
	return vcpu_run(vcpu, run_flags);
}

/*
 * kvm_init() patches static calls from the operations it is given, so they are
 * changed before.
 */
int __wrap_kvm_init(void *opaque, unsigned int vcpu_size,
		    unsigned int vcpu_align, struct module *module)
{
	struct kvm_x86_init_ops *ops = opaque;

	if (kvm_relay_instance.entry_checks) {
		vcpu_run = ops->runtime_ops->vcpu_run;
		ops->runtime_ops->vcpu_run = checked_vcpu_run;
	}
	return __real_kvm_init(opaque, vcpu_size, vcpu_align, module);
}
