// SPDX-License-Identifier: GPL-2.0-only
// A vCPU's posted-interrupt descriptor is a page of kvm-core's, to which the
// vCPU points: devices go on posting into it while the vCPU goes to another
// instance.
@@
struct vcpu_vmx *vmx;
identifier member;
@@
(
- &vmx->pi_desc
+ vmx->pi_desc
|
- vmx->pi_desc.member
+ vmx->pi_desc->member
)

@@
expression vcpu;
@@
- &(to_vmx(vcpu)->pi_desc)
+ to_vmx(vcpu)->pi_desc
