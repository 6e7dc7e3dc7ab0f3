// SPDX-License-Identifier: GPL-2.0-only
/*
 * Dirty pages that the VMM has not yet fetched when its VM goes to another
 * instance. There is no way to tell the new one of them, so kvm-core keeps them
 * and adds them to what the VMM fetches next.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/bitmap.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "core.h"
#include "private.h"

/**
 * struct core_carry - dirty pages of a memslot
 * @next:	of the same VM's
 * @slot:	as in struct kvm_dirty_log
 * @pages:	length of @bits
 * @bits:	the pages
 */
struct core_carry {
	struct core_carry *next;
	u32 slot;
	unsigned long pages;
	unsigned long bits[];
};

static struct core_carry **find(struct core_vm *vm, u32 slot)
{
	struct core_carry **c = &vm->carry;

	while (*c && (*c)->slot != slot)
		c = &(*c)->next;
	return c;
}

static void drop(struct core_vm *vm, u32 slot)
{
	struct core_carry **c, *gone;

	mutex_lock(&vm->carry_lock);
	c = find(vm, slot);
	gone = *c;
	if (gone)
		*c = gone->next;
	mutex_unlock(&vm->carry_lock);
	kvfree(gone);
}

static int take_slot(struct core_move *mv,
		     const struct kvm_userspace_memory_region *slot)
{
	unsigned long pages = slot->memory_size >> PAGE_SHIFT;
	struct kvm_dirty_log log = { .slot = slot->slot };
	struct core_carry *c, **at;
	size_t bytes = ALIGN(pages, BITS_PER_LONG) / 8;
	long r;

	c = kvzalloc(struct_size(c, bits, bytes / sizeof(long)),
		     GFP_KERNEL_ACCOUNT);
	if (!c)
		return core_move_fail(mv, -ENOMEM, "dirty pages of slot %u",
				      slot->slot);
	c->slot = slot->slot;
	c->pages = pages;
	log.dirty_bitmap = (void __user *)c->bits;
	r = core_replay_buffer(mv->vm_file, KVM_GET_DIRTY_LOG, &log, sizeof(log),
			       c->bits, bytes);
	if (r < 0) {
		kvfree(c);
		/* With dirty rings there is no bitmap. */
		if (r == -ENXIO)
			return 0;
		return core_move_fail(mv, r, "KVM_GET_DIRTY_LOG of slot %u",
				      slot->slot);
	}
	mutex_lock(&mv->vm->carry_lock);
	at = find(mv->vm, slot->slot);
	if (*at && (*at)->pages == pages) {
		bitmap_or((*at)->bits, (*at)->bits, c->bits, pages);
		kvfree(c);
	} else {
		c->next = *at;
		*at = c;
	}
	mutex_unlock(&mv->vm->carry_lock);
	return 0;
}

/**
 * core_dirty_take - the dirty pages of the source, before it is left
 * @mv: the handoff; the VM stands still
 *
 * They stay with the VM, wherever it then runs.
 *
 * Context: the handoff's thread, replaying; sleeps.
 * Return: 0 or an error, and core_move_fail() was told.
 */
int core_dirty_take(struct core_move *mv)
{
	struct core_file *vm = core_file_of(mv->vm_file);
	struct core_entry *e;
	int r = 0;

	mutex_lock(&vm->rec.lock);
	list_for_each_entry(e, &vm->rec.entries, link) {
		const struct kvm_userspace_memory_region *slot = (void *)e->data;

		if (e->cmd == KVM_SET_USER_MEMORY_REGION &&
		    slot->flags & KVM_MEM_LOG_DIRTY_PAGES)
			r = take_slot(mv, slot);
		if (r)
			break;
	}
	mutex_unlock(&vm->rec.lock);
	return r;
}

/* Does fetching leave the pages dirty until they are cleared? */
static bool manual(struct core_file *cf)
{
	struct core_entry *e;
	bool is = false;

	mutex_lock(&cf->rec.lock);
	list_for_each_entry(e, &cf->rec.entries, link) {
		struct kvm_enable_cap *cap = (void *)e->data;

		if (e->cmd == KVM_ENABLE_CAP &&
		    cap->cap == KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)
			is = cap->args[0];
	}
	mutex_unlock(&cf->rec.lock);
	return is;
}

/**
 * core_dirty_get - the VMM has fetched dirty pages
 * @cf: its VM's descriptor
 * @log: KVM_GET_DIRTY_LOG's argument, answered by the instance
 *
 * Context: process; sleeps.
 * Return: 0 or -EFAULT.
 */
long core_dirty_get(struct core_file *cf, const struct kvm_dirty_log *log)
{
	unsigned long __user *to = log->dirty_bitmap;
	struct core_vm *vm = cf->vm;
	struct core_carry **c;
	unsigned long i, bits;
	long r = 0;

	mutex_lock(&vm->carry_lock);
	c = find(vm, log->slot);
	for (i = 0; !r && *c && i < BITS_TO_LONGS((*c)->pages); i++) {
		if (!(*c)->bits[i])
			continue;
		if (get_user(bits, to + i) ||
		    put_user(bits | (*c)->bits[i], to + i))
			r = -EFAULT;
	}
	mutex_unlock(&vm->carry_lock);
	if (!r && !manual(cf))
		drop(vm, log->slot);
	return r;
}

/**
 * core_dirty_clear - the VMM has said that it knows of dirty pages
 * @vm: its VM
 * @log: KVM_CLEAR_DIRTY_LOG's argument, carried out by the instance
 *
 * Context: process; sleeps.
 * Return: 0 or -EFAULT.
 */
long core_dirty_clear(struct core_vm *vm, const struct kvm_clear_dirty_log *log)
{
	/* KVM has refused a first_page that is no multiple of 64. */
	unsigned long __user *from = log->dirty_bitmap;
	struct core_carry **c;
	unsigned long i, bits, n;
	long r = 0;

	mutex_lock(&vm->carry_lock);
	c = find(vm, log->slot);
	n = BITS_TO_LONGS(log->num_pages);
	for (i = 0; !r && *c && i < n; i++) {
		unsigned long at = log->first_page / BITS_PER_LONG + i;

		if (at >= BITS_TO_LONGS((*c)->pages))
			break;
		if (get_user(bits, from + i))
			r = -EFAULT;
		else
			(*c)->bits[at] &= ~bits;
	}
	mutex_unlock(&vm->carry_lock);
	return r;
}

/**
 * core_dirty_region - a memslot was set
 * @vm: of which VM
 * @slot: KVM_SET_USER_MEMORY_REGION's argument
 *
 * Without dirty logging, or without the slot, nobody will ask.
 *
 * Context: process; sleeps.
 */
void core_dirty_region(struct core_vm *vm,
		       const struct kvm_userspace_memory_region *slot)
{
	if (likely(!READ_ONCE(vm->carry)))
		return;
	if (!slot->memory_size || !(slot->flags & KVM_MEM_LOG_DIRTY_PAGES))
		drop(vm, slot->slot);
}

/**
 * core_dirty_free - the VM is gone
 * @vm: the VM
 *
 * Context: process.
 */
void core_dirty_free(struct core_vm *vm)
{
	while (vm->carry)
		drop(vm, vm->carry->slot);
}
