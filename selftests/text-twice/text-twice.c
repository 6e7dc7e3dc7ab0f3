// SPDX-License-Identifier: GPL-2.0-only
/*
 * For a host whose CPUs QEMU emulates in parallel: each change that the kernel makes to
 * its own code is written twice.
 *
 * QEMU drops what it has translated of a page, and then stores. What another CPU
 * translates in between is the old code, and stays: no interrupt and no serializing
 * instruction makes that CPU look again. An int3 of a static key is then one for ever,
 * and a call that was patched in is missing. With the second write, of the same bytes,
 * there is no old code to translate.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/compiler.h>
#include <linux/irqflags.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <asm/processor-flags.h>
#include <asm/special_insns.h>

struct poked {
	u8	*addr;
	size_t	len;
};

static unsigned long writes;
module_param(writes, ulong, 0444);
MODULE_PARM_DESC(writes, "how many were made twice");

/* __text_poke(how, addr, src, len), with text_mutex: nobody else writes. */
static int poke_begins(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct poked *p = (struct poked *)ri->data;

	p->addr = (u8 *)regs->si;
	p->len = regs->cx;
	return 0;
}

/* Code is read-only where it runs, so that counts for nothing meanwhile. */
static void write_again(u8 *addr, size_t len)
{
	unsigned long flags, cr0;
	size_t i;

	local_irq_save(flags);
	cr0 = read_cr0();
	asm volatile("mov %0, %%cr0" : : "r"(cr0 & ~X86_CR0_WP) : "memory");
	for (i = 0; i < len; i++)
		WRITE_ONCE(addr[i], READ_ONCE(addr[i]));
	asm volatile("mov %0, %%cr0" : : "r"(cr0) : "memory");
	local_irq_restore(flags);
}

static int poke_ends(struct kretprobe_instance *ri, struct pt_regs *regs)
{
	struct poked *p = (struct poked *)ri->data;

	write_again(p->addr, p->len);
	writes++;
	return 0;
}

static struct kretprobe probe = {
	.kp.symbol_name = "__text_poke",
	.entry_handler = poke_begins,
	.handler = poke_ends,
	.data_size = sizeof(struct poked),
	.maxactive = 4,
};

static int __init twice_init(void)
{
	int r = register_kretprobe(&probe);

	if (r)
		pr_err("no kretprobe on __text_poke: error %d\n", r);
	return r;
}

static void __exit twice_exit(void)
{
	unregister_kretprobe(&probe);
}

module_init(twice_init);
module_exit(twice_exit);

MODULE_DESCRIPTION("kvm-relay: the kernel's code is changed twice, for an emulator's sake");
MODULE_LICENSE("GPL");
