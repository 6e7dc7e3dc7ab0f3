// SPDX-License-Identifier: GPL-2.0-only
/*
 * An instance's part in the handoff of a VM, as handoff.c: KVM's statistics.
 */
#include <linux/kvm_host.h>

#include "relay.h"

void kvm_relay_vcpu_stats(void *priv, struct kvm_core_statistics *stats)
{
	struct kvm_vcpu *vcpu = priv;

	stats->desc = (const void *)kvm_vcpu_stats_desc;
	stats->nr = kvm_vcpu_stats_header.num_desc;
	stats->data = &vcpu->stat;
}

void kvm_relay_vm_stats(void *priv, struct kvm_core_statistics *stats)
{
	struct kvm *kvm = priv;

	BUILD_BUG_ON(sizeof(kvm_vm_stats_desc[0]) !=
		     offsetof(struct kvm_stats_desc, name) + KVM_CORE_STATS_NAME);
	stats->desc = (const void *)kvm_vm_stats_desc;
	stats->nr = kvm_vm_stats_header.num_desc;
	stats->data = &kvm->stat;
}

static void adopt(void *stat, const struct kvm_core_stats_run *run, unsigned int nr,
		  const void *from)
{
	unsigned int i;

	for (; nr; nr--, run++) {
		const u64 *old = from + run->from;
		u64 *new = stat + run->to;

		for (i = 0; i < run->nr; i++)
			new[i] = run->peak ? max(new[i], old[i]) : old[i];
	}
}

void kvm_relay_vcpu_stats_adopt(void *priv, const struct kvm_core_stats_run *runs,
				unsigned int nr, const void *from)
{
	struct kvm_vcpu *vcpu = priv;

	adopt(&vcpu->stat, runs, nr, from);
}

/* The guest's memory may change, which counts as a TLB flush. */
void kvm_relay_vm_stats_adopt(void *priv, const struct kvm_core_stats_run *runs,
			      unsigned int nr, const void *from)
{
	struct kvm *kvm = priv;

	write_lock(&kvm->mmu_lock);
	adopt(&kvm->stat, runs, nr, from);
	write_unlock(&kvm->mmu_lock);
}
