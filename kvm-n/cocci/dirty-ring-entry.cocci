// SPDX-License-Identifier: GPL-2.0-only
// Before each entry of a guest one comparison, without a call, says whether the
// ring is full or has anything else to say: kvm-n/dirty_ring.c.
@@
@@
 #include <linux/kvm_host.h>
+#include <dirty-ring/ring.h>

@@
expression v;
@@
- kvm_dirty_ring_soft_full(&v->dirty_ring)
+ dirty_ring_stopped((struct dirty_ring *)v->dirty_ring.dirty_gfns) &&
+ kvm_dirty_ring_soft_full(&v->dirty_ring)
