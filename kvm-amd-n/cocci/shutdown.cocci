// SPDX-License-Identifier: GPL-2.0-only
// A VMM can have a vCPU shut down wherever it is, and run it again as it is then.
@@
identifier vcpu;
@@
 shutdown_interception(struct kvm_vcpu *vcpu)
 {
 <...
- kvm_vcpu_reset(vcpu, true);
+ kvm_relay_shut_down(vcpu);
 ...>
 }
