// SPDX-License-Identifier: GPL-2.0-only
/*
 * dirty-ring: the dirty rings of all vCPUs of all instances.
 */
#include <linux/module.h>

#include "private.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

atomic64_t ring_dropped = ATOMIC64_INIT(0);

static int dropped_get(char *buf, const struct kernel_param *kp)
{
	return sysfs_emit(buf, "%lld\n", atomic64_read(&ring_dropped));
}

static const struct kernel_param_ops dropped_ops = {
	.get = dropped_get,
};

module_param_cb(dropped, &dropped_ops, NULL, 0444);
MODULE_PARM_DESC(dropped, "(read-only) pages of all rings that were written and had no room");

/* Every ring is its vCPU's, which keeps its instance, which keeps this module. */
static int __init dirty_ring_init(void)
{
	return 0;
}

static void __exit dirty_ring_exit(void)
{
}

module_init(dirty_ring_init);
module_exit(dirty_ring_exit);

MODULE_DESCRIPTION("Dirty rings that outlive an instance of KVM");
MODULE_LICENSE("GPL");
