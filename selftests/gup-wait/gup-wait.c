// SPDX-License-Identifier: GPL-2.0-only
/*
 * For a test of memory that goes away between the look-up of its pages and their use: when
 * told so, a kernel thread that has looked several up waits until a process has done what
 * it wants to.
 *
 * The host has to have another CPU.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/jiffies.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/sched.h>

enum { OFF, ON, WAITING };

#define PATIENCE	(10 * HZ)

static int armed;
module_param(armed, int, 0644);
MODULE_PARM_DESC(armed, "1: the next look-up waits, and makes it 2; 0: it goes on");

/* Not preemptible, with interrupts enabled. */
static int looked_up(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	unsigned long end = jiffies + PATIENCE;

	if (!(current->flags & PF_KTHREAD) || (int)regs_return_value(regs) < 2 ||
	    cmpxchg(&armed, ON, WAITING) != ON)
		return 0;
	while (READ_ONCE(armed) == WAITING && time_before(jiffies, end))
		cpu_relax();
	return 0;
}

static struct kretprobe probe = {
	.kp.symbol_name = "get_user_pages_fast_only",
	.handler = looked_up,
};

static int __init wait_init(void)
{
	int r = register_kretprobe(&probe);

	if (r)
		pr_err("no kretprobe on get_user_pages_fast_only: error %d\n", r);
	return r;
}

static void __exit wait_exit(void)
{
	unregister_kretprobe(&probe);
}

module_init(wait_init);
module_exit(wait_exit);

MODULE_DESCRIPTION("Waits between the look-up of pages and their use");
MODULE_LICENSE("GPL");
