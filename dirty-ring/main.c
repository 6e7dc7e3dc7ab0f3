// SPDX-License-Identifier: GPL-2.0-only
/*
 * dirty-ring: the dirty rings of all vCPUs of all instances.
 */
#include <linux/module.h>

#define CREATE_TRACE_POINTS
#include "trace.h"

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
