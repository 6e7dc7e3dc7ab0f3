// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which instance a CPU works for.
 */
#include <linux/module.h>

#include "core.h"
#include "cpu.h"

/*
 * The instance whose vCPU was loaded last on this CPU. Written on its CPU with
 * preemption disabled; cleared from elsewhere when the instance goes.
 */
DEFINE_PER_CPU(struct kvm_core_instance *, kvm_core_active);
EXPORT_PER_CPU_SYMBOL_GPL(kvm_core_active);

/**
 * kvm_core_switch - this CPU goes over to another instance
 * @inst: the instance that loads a vCPU
 *
 * A guest value that the previous instance left in a user-return MSR which
 * @inst does not know would never be replaced: back to the host's.
 *
 * Context: preemption disabled.
 */
void kvm_core_switch(struct kvm_core_instance *inst)
{
	core_uret_cpu_restore(core_of(inst)->uret_mask);
	__this_cpu_write(kvm_core_active, inst);
}
EXPORT_SYMBOL_GPL(kvm_core_switch);
