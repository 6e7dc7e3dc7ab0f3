// SPDX-License-Identifier: GPL-2.0-only
// clear_user() is inline; kvm-n/replay.c answers the function that stands for
// it here.
@@
expression p, n;
@@
- clear_user(p, n)
+ kvm_relay_clear_user(p, n)
