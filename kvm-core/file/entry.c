// SPDX-License-Identifier: GPL-2.0-only
/*
 * The argument of an ioctl that configures a VM, copied: all that its instance and the
 * record see of the VMM's memory and descriptors.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <relay/compat.h>

#include "core.h"
#include "file.h"

/* Limits of KVM's own; a larger argument is its to refuse. */
#define MAX_ROUTES	4096
#define MAX_CPUID	256
#define MAX_FILTER_EVENTS 300
#define MAX_MSR_BITMAP	0x600

/*
 * What a small entry is allocated with: such ones replace one another all the time, so a
 * record keeps the last that was freed for the next.
 */
#define SMALL_LEN	(256 - sizeof(struct core_entry))

/**
 * core_entry_free - an entry, and what it holds
 * @rec: of its descriptor
 * @e: in no record; NULL and an ERR_PTR() are nothing
 *
 * Context: process; sleeps. The lock of the record that @e was in is held.
 */
void core_entry_free(struct core_record *rec, struct core_entry *e)
{
	int i;

	if (IS_ERR_OR_NULL(e))
		return;
	if (e->efd)
		core_eventfd_free(e->efd);
	for (i = 0; i < ARRAY_SIZE(e->file); i++) {
		if (e->file[i])
			fput(e->file[i]);
		if (e->ctx[i])
			eventfd_ctx_put(e->ctx[i]);
	}
	if (e->len <= SMALL_LEN)
		e = xchg(&rec->spare, e);
	kvfree(e);
}

/**
 * core_entry_alloc - an entry whose argument is yet to be filled in
 * @rec: of the descriptor
 * @len: of core_entry.data, which is not cleared
 *
 * Context: process; sleeps.
 * Return: it, or ERR_PTR(-ENOMEM).
 */
struct core_entry *core_entry_alloc(struct core_record *rec, size_t len)
{
	struct core_entry *e = NULL;

	if (len <= SMALL_LEN)
		e = xchg(&rec->spare, NULL);
	if (!e)
		e = kvmalloc(struct_size(e, data, max(len, SMALL_LEN)),
			     GFP_KERNEL_ACCOUNT);
	if (!e)
		return ERR_PTR(-ENOMEM);
	memset(e, 0, sizeof(*e));
	e->len = len;
	return e;
}

/* Inlined, so that where @len is constant nobody asks whether @e has room for it. */
static __always_inline struct core_entry *copy(struct core_record *rec,
					       const void __user *arg, size_t len)
{
	struct core_entry *e = core_entry_alloc(rec, len);

	if (!IS_ERR(e) && copy_from_user(e->data, arg, len)) {
		core_entry_free(rec, e);
		return ERR_PTR(-EFAULT);
	}
	return e;
}

/**
 * core_entry_copy - an entry with what an argument points to
 * @rec: of the descriptor
 * @arg: the argument
 * @len: bytes there
 *
 * Context: process; sleeps.
 * Return: it, or an ERR_PTR(): -ENOMEM, -EFAULT.
 */
struct core_entry *core_entry_copy(struct core_record *rec, const void __user *arg,
				   size_t len)
{
	return copy(rec, arg, len);
}

/*
 * A head and the elements that it counts in its 32 bits at @count. When there are more
 * than KVM takes, the head alone: KVM looks at it first.
 */
static struct core_entry *entry_copy_array(struct core_record *rec,
					   const void __user *arg, size_t head,
					   size_t count, size_t size, u32 max)
{
	struct core_entry *e;
	u32 n;

	if (get_user(n, (const u32 __user *)(arg + count)))
		return ERR_PTR(-EFAULT);
	e = copy(rec, arg, head + (n > max ? 0 : n * size));
	if (IS_ERR(e))
		return e;
	/* It may have another value meanwhile. */
	*(u32 *)(e->data + count) = n;
	e->partial = n > max;
	return e;
}

/* The bitmaps follow the structure. */
static struct core_entry *copy_msr_filter(struct core_record *rec, const void __user *arg)
{
	struct kvm_msr_filter *f;
	struct core_entry *e, *full;
	size_t len = sizeof(*f);
	int i;

	e = copy(rec, arg, len);
	if (IS_ERR(e))
		return e;
	f = (void *)e->data;
	for (i = 0; i < ARRAY_SIZE(f->ranges); i++) {
		/* More than KVM takes, which it says before it reads them. */
		if (f->ranges[i].nmsrs > MAX_MSR_BITMAP * 8) {
			e->partial = true;
			return e;
		}
		len += ALIGN(DIV_ROUND_UP(f->ranges[i].nmsrs, 8), 8);
	}
	full = core_entry_alloc(rec, len);
	if (IS_ERR(full))
		goto out;
	memcpy(full->data, e->data, e->len);
	f = (void *)full->data;
	len = sizeof(*f);
	for (i = 0; i < ARRAY_SIZE(f->ranges); i++) {
		size_t n = DIV_ROUND_UP(f->ranges[i].nmsrs, 8);

		if (n && copy_from_user(full->data + len,
					(void __user *)f->ranges[i].bitmap, n)) {
			core_entry_free(rec, full);
			full = ERR_PTR(-EFAULT);
			goto out;
		}
		f->ranges[i].bitmap = full->data + len;
		/* KVM copies whole words. */
		memset(full->data + len + n, 0, ALIGN(n, 8) - n);
		len += ALIGN(n, 8);
	}
out:
	core_entry_free(rec, e);
	return full;
}

static struct core_entry *copy_signal_mask(struct core_record *rec, const void __user *arg)
{
	size_t len = sizeof(struct kvm_signal_mask) + sizeof(sigset_t);

	return arg ? copy(rec, arg, len) : core_entry_alloc(rec, 0);
}

/*
 * The one time that a descriptor is looked up: the instance gets the file. That it is no
 * eventfd is the instance's to say.
 */
static struct eventfd_ctx *entry_eventfd(struct core_entry *e, int i, int fd)
{
	struct eventfd_ctx *ctx;

	e->file[i] = fget(fd);
	ctx = e->file[i] ? core_eventfd_ctx(e->file[i]) : ERR_PTR(-EBADF);
	if (!IS_ERR(ctx))
		return ctx;
	e->partial = true;
	return NULL;
}

static int irqfd_files(struct core_entry *e)
{
	struct kvm_irqfd *irqfd = (void *)e->data;

	e->ctx[0] = entry_eventfd(e, 0, irqfd->fd);
	e->who = e->ctx[0];
	irqfd->fd = 0;
	/* To end one, only the first descriptor counts. */
	if (irqfd->flags & KVM_IRQFD_FLAG_DEASSIGN)
		return 0;
	if (irqfd->flags & KVM_IRQFD_FLAG_RESAMPLE)
		e->ctx[1] = entry_eventfd(e, 1, irqfd->resamplefd);
	irqfd->resamplefd = 1;
	if (!e->ctx[0])
		return 0;
	e->efd = core_eventfd_alloc(e->file[0]);
	if (IS_ERR(e->efd)) {
		int r = PTR_ERR(e->efd);

		e->efd = NULL;
		return r;
	}
	return 0;
}

static struct core_entry *copy_irqfd(struct core_record *rec, const void __user *arg)
{
	struct core_entry *e = copy(rec, arg, sizeof(struct kvm_irqfd));
	int r;

	if (IS_ERR(e))
		return e;
	r = irqfd_files(e);
	if (r) {
		core_entry_free(rec, e);
		return ERR_PTR(r);
	}
	return e;
}

static struct core_entry *copy_ioeventfd(struct core_record *rec, const void __user *arg)
{
	struct core_entry *e = copy(rec, arg, sizeof(struct kvm_ioeventfd));
	struct kvm_ioeventfd *io;

	if (IS_ERR(e))
		return e;
	io = (void *)e->data;
	e->ctx[0] = entry_eventfd(e, 0, io->fd);
	e->who = e->ctx[0];
	io->fd = 0;
	e->key[0] = io->addr;
	e->key[1] = io->flags & KVM_IOEVENTFD_FLAG_DATAMATCH ? io->datamatch : 0;
	e->key[2] = (u64)(io->flags & ~KVM_IOEVENTFD_FLAG_DEASSIGN) << 32 | io->len;
	return e;
}

/* By the number of the connection, which has one eventfd at a time. */
static struct core_entry *copy_hyperv_eventfd(struct core_record *rec,
					      const void __user *arg)
{
	struct core_entry *e = copy(rec, arg, sizeof(struct kvm_hyperv_eventfd));
	struct kvm_hyperv_eventfd *hv;

	if (IS_ERR(e))
		return e;
	hv = (void *)e->data;
	e->key[0] = hv->conn_id;
	/* To end one, the descriptor does not count. */
	if (hv->flags != KVM_HYPERV_EVENTFD_DEASSIGN)
		e->ctx[0] = entry_eventfd(e, 0, hv->fd);
	hv->fd = 0;
	return e;
}

/* Of kvm-vfio: the group or file that the attribute names. */
static struct core_entry *copy_device_attr(struct core_record *rec, const void __user *arg)
{
	struct {
		struct kvm_device_attr attr;
		s32 fd;
	} *a;
	struct core_entry *e = core_entry_alloc(rec, sizeof(*a));
	s32 fd;

	if (IS_ERR(e))
		return e;
	a = (void *)e->data;
	if (copy_from_user(&a->attr, arg, sizeof(a->attr))) {
		core_entry_free(rec, e);
		return ERR_PTR(-EFAULT);
	}
	if (get_user(fd, (s32 __user *)(unsigned long)a->attr.addr)) {
		/* So that the instance finds nothing there either. */
		a->attr.addr = 0;
		e->partial = true;
		return e;
	}
	a->attr.addr = (unsigned long)&a->fd;
	a->fd = 0;
	e->file[0] = fget(fd);
	e->partial = !e->file[0];
	e->who = e->file[0];
	return e;
}

static struct core_entry *copy_region(struct core_record *rec, const void __user *arg,
				      size_t len)
{
	struct core_entry *e = copy(rec, arg, len);

	if (!IS_ERR(e))
		e->key[0] = ((struct kvm_userspace_memory_region *)e->data)->slot;
	return e;
}

/*
 * KVM_SET_USER_MEMORY_REGION2 without a guest_memfd does what KVM_SET_USER_MEMORY_REGION does,
 * whose argument it begins with, and becomes that. With one it is unknown.
 */
static struct core_entry *copy_region2(struct core_record *rec, const void __user *arg)
{
	struct core_entry *e = copy_region(rec, arg, RELAY_REGION2_LEN);

	if (IS_ERR(e))
		return e;
	if (((struct kvm_userspace_memory_region *)e->data)->flags & RELAY_GUEST_MEMFD) {
		core_entry_free(rec, e);
		return NULL;
	}
	e->cmd = KVM_SET_USER_MEMORY_REGION;
	e->len = sizeof(struct kvm_userspace_memory_region);
	return e;
}

/**
 * core_entry_copy_of - an entry with what an ioctl's argument leads to, of those that are
 * no structure of one size
 * @rec: of the descriptor
 * @cmd: the ioctl
 * @arg: its argument
 *
 * Context: process; sleeps.
 * Return: it, NULL if @cmd is none of these, or an ERR_PTR() with which the ioctl fails.
 */
struct core_entry *core_entry_copy_of(struct core_record *rec, unsigned int cmd,
				      const void __user *arg)
{
	struct core_entry *e;

	switch (cmd) {
	case KVM_SET_CPUID:
		return entry_copy_array(rec, arg, sizeof(struct kvm_cpuid), 0,
					sizeof(struct kvm_cpuid_entry),
					MAX_CPUID);
	case KVM_SET_CPUID2:
		return entry_copy_array(rec, arg, sizeof(struct kvm_cpuid2), 0,
					sizeof(struct kvm_cpuid_entry2),
					MAX_CPUID);
	case KVM_SET_GSI_ROUTING:
		return entry_copy_array(rec, arg, sizeof(struct kvm_irq_routing), 0,
					sizeof(struct kvm_irq_routing_entry),
					MAX_ROUTES);
	case KVM_SET_PMU_EVENT_FILTER:
		return entry_copy_array(rec, arg, sizeof(struct kvm_pmu_event_filter),
					offsetof(struct kvm_pmu_event_filter,
						 nevents), sizeof(u64),
					MAX_FILTER_EVENTS);
	case KVM_X86_SET_MSR_FILTER:
		return copy_msr_filter(rec, arg);
	case KVM_SET_SIGNAL_MASK:
		return copy_signal_mask(rec, arg);
	case KVM_IRQFD:
		return copy_irqfd(rec, arg);
	case KVM_IOEVENTFD:
		return copy_ioeventfd(rec, arg);
	case KVM_HYPERV_EVENTFD:
		return copy_hyperv_eventfd(rec, arg);
	case KVM_SET_DEVICE_ATTR:
		return copy_device_attr(rec, arg);
	case KVM_ENABLE_CAP:
		e = copy(rec, arg, sizeof(struct kvm_enable_cap));
		if (!IS_ERR(e))
			e->key[0] = core_cap_key((void *)e->data);
		return e;
	case KVM_SET_USER_MEMORY_REGION:
		return copy_region(rec, arg, sizeof(struct kvm_userspace_memory_region));
	case RELAY_SET_REGION2:
		return RELAY_REGION2_LEN ? copy_region2(rec, arg) : NULL;
	case KVM_REGISTER_COALESCED_MMIO:
	case KVM_UNREGISTER_COALESCED_MMIO:
		e = copy(rec, arg, sizeof(struct kvm_coalesced_mmio_zone));
		if (!IS_ERR(e)) {
			struct kvm_coalesced_mmio_zone *z = (void *)e->data;

			e->key[0] = z->addr;
			e->key[1] = (u64)z->pio << 32 | z->size;
		}
		return e;
	}
	return NULL;
}
