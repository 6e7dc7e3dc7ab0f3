// SPDX-License-Identifier: GPL-2.0-only
/*
 * Failures of a kernel on demand, for the test of the test hosts: loading the module
 * with how=... provokes one.
 */

#include <linux/bug.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/smp.h>

static char *how = "";
module_param(how, charp, 0444);
MODULE_PARM_DESC(how, "warn, oops, panic, lockup (all CPUs, interrupts off)");

static void spin(void *unused)
{
	unsigned long flags;

	local_irq_save(flags);
	for (;;)
		cpu_relax();
}

static int __init provoke_init(void)
{
	if (!strcmp(how, "warn")) {
		WARN(1, "provoked\n");
	} else if (!strcmp(how, "oops")) {
		WRITE_ONCE(*(int *)8, 1);
	} else if (!strcmp(how, "panic")) {
		panic("provoked");
	} else if (!strcmp(how, "lockup")) {
		on_each_cpu(spin, NULL, 0);
	} else {
		pr_err("provoke: how=%s is none of warn, oops, panic, lockup\n", how);
		return -EINVAL;
	}
	return 0;
}

static void __exit provoke_exit(void)
{
}

module_init(provoke_init);
module_exit(provoke_exit);
MODULE_DESCRIPTION("Failures on demand for the test of the test hosts");
MODULE_LICENSE("GPL");
