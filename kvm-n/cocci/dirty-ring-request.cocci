// SPDX-License-Identifier: GPL-2.0-only
// As dirty-ring-entry, where KVM looks at a full ring with what is requested of the vCPU:
// nobody requests it of a vCPU that its ring stops for another reason.
@@
@@
 #include <linux/kvm_host.h>
+#include <dirty-ring/ring.h>

@@
identifier vcpu;
statement S;
@@
 vcpu_enter_guest(struct kvm_vcpu *vcpu)
 {
 <...
- if (kvm_request_pending(vcpu))
+ if (kvm_request_pending(vcpu) || kvm_relay_ring_stopped(vcpu))
 S
 ...>
 }
