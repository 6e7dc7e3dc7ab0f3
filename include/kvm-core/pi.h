/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Posted-interrupt descriptors, for modules that are no instances: who posts to a
 * vCPU, or keeps its descriptor for a VMM to come.
 */
#ifndef __KVM_CORE_PI_H
#define __KVM_CORE_PI_H

void *kvm_core_pi_get(int vm, int vcpu);
void kvm_core_pi_put(void *pi);

#endif
