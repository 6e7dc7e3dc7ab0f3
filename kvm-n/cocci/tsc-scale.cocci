// SPDX-License-Identifier: GPL-2.0-only
// KVM_SET_TSC_KHZ takes any frequency, and with hardware that scales the TSC one of a few
// kHz comes out as 0. Then kvm_get_time_scale() shifts 0 until it is large enough, for ever,
// in KVM_RUN. Nobody can measure the difference to 1 kHz.
@@
expression shift, mul;
identifier khz;
@@
 static int kvm_guest_time_update(...)
 {
 <...
- kvm_get_time_scale(NSEC_PER_SEC, khz * 1000LL, shift, mul);
+ kvm_get_time_scale(NSEC_PER_SEC, (khz ?: 1) * 1000LL, shift, mul);
 ...>
 }
