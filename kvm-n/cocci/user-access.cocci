// SPDX-License-Identifier: GPL-2.0-only
// get_user() and put_user() are inline; the functions that they stand for here
// are those that kvm-n/replay.c answers.
@@
expression v, p;
@@
- get_user(v, p)
+ kvm_relay_get_user(v, p)

@@
expression v, p;
@@
- put_user(v, p)
+ kvm_relay_put_user(v, p)
