// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which ioctls configure a VM, and what of them still holds.
 *
 * An ioctl is one of: configuration, kept here; state, which KVM_GET_* tells;
 * or unknown, and then the VM cannot be handed over, and says which it was.
 */
#define pr_fmt(fmt) "kvm-core: " fmt

#include <linux/bitops.h>
#include <linux/dirty_ring.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/hash.h>
#include <linux/kvm.h>
#include <linux/log2.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <relay/compat.h>

#include "core.h"
#include "file.h"

enum what {
	VALUE,		/* the argument is a value */
	FIXED,		/* the argument points to _IOC_SIZE() or @len bytes */
	OTHER,		/* core_entry_copy_of() knows */
};

/**
 * struct rule - what an ioctl is
 * @cmd:	the ioctl
 * @what:	enum what
 * @phase:	of configuration
 * @len:	of FIXED, when the ioctl's number does not say it
 */
struct rule {
	unsigned int cmd;
	u8 what;
	u8 phase;
	u8 len;
};

/* They are looked through in this order; first what a VMM calls while its guest runs. */
static const struct rule vm_rules[] = {
	{ KVM_SET_USER_MEMORY_REGION, OTHER, CORE_PHASE_MEM },
	{ KVM_SET_GSI_ROUTING, OTHER, CORE_PHASE_ROUTE },
	{ KVM_IOEVENTFD, OTHER, CORE_PHASE_BUS },
	{ KVM_IRQFD, OTHER, CORE_PHASE_IRQ },
	{ RELAY_SET_REGION2, OTHER, CORE_PHASE_MEM },
	{ KVM_SET_TSS_ADDR, VALUE, CORE_PHASE_VM },
	{ KVM_SET_IDENTITY_MAP_ADDR, FIXED, CORE_PHASE_VM },
	{ KVM_SET_BOOT_CPU_ID, VALUE, CORE_PHASE_VM },
	{ KVM_SET_NR_MMU_PAGES, VALUE, CORE_PHASE_VM },
	{ KVM_SET_TSC_KHZ, VALUE, CORE_PHASE_VM },
	{ KVM_ENABLE_CAP, OTHER, CORE_PHASE_VM },
	{ KVM_CREATE_IRQCHIP, VALUE, CORE_PHASE_CHIP },
	{ KVM_CREATE_PIT, VALUE, CORE_PHASE_PIT },
	{ KVM_CREATE_PIT2, FIXED, CORE_PHASE_PIT },
	{ KVM_REINJECT_CONTROL, FIXED, CORE_PHASE_MEM,
	  .len = sizeof(struct kvm_reinject_control) },
	{ KVM_X86_SET_MSR_FILTER, OTHER, CORE_PHASE_VCPU },
	{ KVM_SET_PMU_EVENT_FILTER, OTHER, CORE_PHASE_VCPU },
	{ KVM_REGISTER_COALESCED_MMIO, OTHER, CORE_PHASE_BUS },
	{ KVM_UNREGISTER_COALESCED_MMIO, OTHER, CORE_PHASE_BUS },
	{ KVM_HYPERV_EVENTFD, OTHER, CORE_PHASE_BUS },
	{ 0 }
};

static const struct rule vcpu_rules[] = {
	{ KVM_SET_CPUID, OTHER, CORE_PHASE_VCPU },
	{ KVM_SET_CPUID2, OTHER, CORE_PHASE_VCPU },
	{ KVM_ENABLE_CAP, OTHER, CORE_PHASE_VCPU },
	{ KVM_SET_TSC_KHZ, VALUE, CORE_PHASE_VCPU },
	{ KVM_SET_SIGNAL_MASK, OTHER, CORE_PHASE_VCPU },
	{ KVM_SET_GUEST_DEBUG, FIXED, CORE_PHASE_BUS },
	{ KVM_TPR_ACCESS_REPORTING, FIXED, CORE_PHASE_VCPU },
	{ KVM_SET_VAPIC_ADDR, FIXED, CORE_PHASE_VCPU },
	{ KVM_X86_SETUP_MCE, FIXED, CORE_PHASE_VCPU },
	{ 0 }
};

static const struct rule device_rules[] = {
	{ KVM_SET_DEVICE_ATTR, OTHER, CORE_PHASE_DEVICE },
	{ 0 }
};

/**
 * core_record_is_state - does KVM_GET_* tell of an ioctl, or does it change nothing?
 * @cf: the descriptor of a VM, vCPU or device
 * @cmd: the ioctl
 *
 * Context: any.
 * Return: true if the instance reads the argument itself, and nothing is recorded.
 */
bool core_record_is_state(const struct core_file *cf, unsigned int cmd)
{
	if (cf->kind == CORE_FILE_VM) {
		switch (cmd) {
		case KVM_IRQ_LINE:
		case KVM_IRQ_LINE_STATUS:
		case KVM_SIGNAL_MSI:
		case KVM_CREATE_VCPU:
		case KVM_CREATE_DEVICE:
		case KVM_GET_STATS_FD:
		case KVM_CHECK_EXTENSION:
		case KVM_GET_NR_MMU_PAGES:
		case KVM_GET_IRQCHIP:
		case KVM_SET_IRQCHIP:
		case KVM_GET_PIT:
		case KVM_SET_PIT:
		case KVM_GET_PIT2:
		case KVM_SET_PIT2:
		case KVM_GET_CLOCK:
		case KVM_SET_CLOCK:
		case KVM_GET_TSC_KHZ:
		case KVM_GET_DIRTY_LOG:
		case KVM_CLEAR_DIRTY_LOG:
		case KVM_RESET_DIRTY_RINGS:
		case KVM_XEN_HVM_GET_ATTR:
		case KVM_HAS_DEVICE_ATTR:
			return true;
		}
		return false;
	}
	if (cf->kind == CORE_FILE_VCPU) {
		switch (cmd) {
		case KVM_GET_REGS:
		case KVM_SET_REGS:
		case KVM_GET_SREGS:
		case KVM_SET_SREGS:
		case KVM_INTERRUPT:
		case KVM_GET_SREGS2:
		case KVM_SET_SREGS2:
		case KVM_GET_FPU:
		case KVM_SET_FPU:
		case KVM_GET_XSAVE:
		case KVM_GET_XSAVE2:
		case KVM_SET_XSAVE:
		case KVM_GET_XCRS:
		case KVM_SET_XCRS:
		case KVM_GET_DEBUGREGS:
		case KVM_SET_DEBUGREGS:
		case KVM_GET_MSRS:
		case KVM_SET_MSRS:
		case KVM_GET_LAPIC:
		case KVM_SET_LAPIC:
		case KVM_GET_MP_STATE:
		case KVM_SET_MP_STATE:
		case KVM_GET_VCPU_EVENTS:
		case KVM_SET_VCPU_EVENTS:
		case KVM_GET_NESTED_STATE:
		case KVM_SET_NESTED_STATE:
		case KVM_GET_CPUID2:
		case KVM_GET_SUPPORTED_HV_CPUID:
		case KVM_GET_TSC_KHZ:
		case KVM_GET_STATS_FD:
		case KVM_HAS_DEVICE_ATTR:
		case KVM_GET_DEVICE_ATTR:
		case KVM_SET_DEVICE_ATTR:
		case KVM_NMI:
		case KVM_SMI:
		case KVM_TRANSLATE:
		case RELAY_PRE_FAULT:
		case KVM_KVMCLOCK_CTRL:
		case KVM_X86_SET_MCE:
		case KVM_XEN_VCPU_GET_ATTR:
		/* They go with the ring. */
		case DIRTY_RING_RESET:
		case DIRTY_RING_NOTIFY:
		case DIRTY_RING_LIMIT:
		case DIRTY_RING_STATS_FD:
		case DIRTY_RING_TAKE:
			return true;
		}
		return false;
	}
	return cmd == KVM_HAS_DEVICE_ATTR || cmd == KVM_GET_DEVICE_ATTR;
}

/**
 * core_record_init - begin a record
 * @rec: zeroed
 *
 * Context: any.
 */
void core_record_init(struct core_record *rec)
{
	mutex_init(&rec->lock);
	spin_lock_init(&rec->why_lock);
	INIT_LIST_HEAD(&rec->entries);
}

/**
 * core_record_free - end a record
 * @rec: the record; nobody else uses it but for eventfds that are being closed
 *
 * Context: process; sleeps.
 */
void core_record_free(struct core_record *rec)
{
	struct core_entry *e, *n;

	mutex_lock(&rec->lock);
	list_for_each_entry_safe(e, n, &rec->entries, link)
		core_entry_free(rec, e);
	mutex_unlock(&rec->lock);
	if (rec->irqfds)
		core_eventfd_flush();
	kvfree(rec->spare);
	kfree(rec->buckets);
}

/* A handoff that has begun to set the VM up has to begin anew. */
static void changed(struct core_file *cf)
{
	if (cf->vm)
		atomic64_inc(&cf->vm->changes);
}

/**
 * core_record_block - this VM cannot be set up again
 * @cf: of the VM or of one of its vCPUs or devices
 * @fmt: why; the first reason stays
 *
 * Context: process; mmap_lock may be held.
 */
void core_record_block(struct core_file *cf, const char *fmt, ...)
{
	struct core_record *rec = &cf->rec;
	va_list args;

	spin_lock(&rec->why_lock);
	if (!rec->why[0]) {
		va_start(args, fmt);
		vsnprintf(rec->why, sizeof(rec->why), fmt, args);
		va_end(args);
		changed(cf);
	}
	spin_unlock(&rec->why_lock);
}

static const struct rule *rule_of(const struct core_file *cf, unsigned int cmd)
{
	const struct rule *r;

	switch (cf->kind) {
	case CORE_FILE_VM:
		r = vm_rules;
		break;
	case CORE_FILE_VCPU:
		r = vcpu_rules;
		break;
	default:
		r = device_rules;
	}
	while (r->cmd && r->cmd != cmd)
		r++;
	return r->cmd ? r : NULL;
}

/**
 * core_record_begin - an ioctl is about to go to the instance
 * @cf: the descriptor of a VM, vCPU or device; its gate is held
 * @cmd: the ioctl, which is not core_record_is_state()
 * @arg: its argument. This is the only time that what it points to is read, and that
 *	its descriptors are looked up: the instance gets the entry.
 *
 * Context: process; sleeps.
 * Return: what core_record_end() wants to have; NULL if @cmd is unknown, and the
 * instance reads the argument itself; or an ERR_PTR() with which the ioctl fails.
 */
struct core_entry *core_record_begin(struct core_file *cf, unsigned int cmd,
				     unsigned long arg)
{
	const struct rule *rule;
	struct core_entry *e;

	rule = rule_of(cf, cmd);
	if (!rule)
		return NULL;
	switch (rule->what) {
	case VALUE:
		e = core_entry_alloc(&cf->rec, 0);
		if (!IS_ERR(e))
			e->arg = arg;
		break;
	case FIXED:
		e = core_entry_copy(&cf->rec, (void __user *)arg,
				    rule->len ?: _IOC_SIZE(cmd));
		break;
	default:
		e = core_entry_copy_of(&cf->rec, cmd, (void __user *)arg);
	}
	if (IS_ERR_OR_NULL(e))
		return e;
	if (!e->cmd)
		e->cmd = cmd;
	e->phase = cmd == KVM_ENABLE_CAP ? core_cap_phase((void *)e->data, rule->phase) :
					   rule->phase;
	return e;
}

static struct hlist_head *bucket_of(struct core_record *rec,
				    const struct core_entry *e)
{
	u64 all = e->cmd ^ e->key[0] ^ rol64(e->key[1], 21) ^ rol64(e->key[2], 42) ^
		  (unsigned long)e->who;

	return &rec->buckets[hash_64(all, ilog2(CORE_RECORD_BUCKETS))];
}

static bool same(const struct core_entry *a, const struct core_entry *b)
{
	return a->cmd == b->cmd && a->who == b->who &&
	       !memcmp(a->key, b->key, sizeof(a->key));
}

static struct core_entry *find(struct core_record *rec,
			       const struct core_entry *like)
{
	struct core_entry *e;

	hlist_for_each_entry(e, bucket_of(rec, like), hash)
		if (same(e, like))
			return e;
	return NULL;
}

static void drop(struct core_record *rec, struct core_entry *e)
{
	if (!e)
		return;
	list_del(&e->link);
	hlist_del(&e->hash);
	core_entry_free(rec, e);
}

static void drop_zones(struct core_record *rec, const struct core_entry *like)
{
	const struct kvm_coalesced_mmio_zone *gone = (const void *)like->data;
	struct core_entry *e, *n;
	u64 end;

	/* In no zone, KVM finds. */
	if (gone->size > INT_MAX ||
	    check_add_overflow(gone->addr, (u64)gone->size, &end))
		return;
	list_for_each_entry_safe(e, n, &rec->entries, link) {
		const struct kvm_coalesced_mmio_zone *z = (const void *)e->data;

		if (e->cmd == KVM_REGISTER_COALESCED_MMIO &&
		    z->pio == gone->pio && z->addr <= gone->addr &&
		    end <= z->addr + z->size)
			drop(rec, e);
	}
}

/*
 * An irqfd stays as long as the VMM has its eventfd open, and so does the entry. Of other
 * eventfds KVM keeps the context.
 */
static void let_go(struct core_record *rec, struct core_entry *e)
{
	int i;

	if (e->efd) {
		core_eventfd_watch(e->efd, rec, e);
		rec->irqfds = true;
	}
	for (i = 0; i < ARRAY_SIZE(e->file); i++) {
		if (!e->ctx[i])
			continue;
		fput(e->file[i]);
		e->file[i] = NULL;
	}
}

/**
 * core_record_closed - the VMM has closed the eventfd of an irqfd
 * @efd: the eventfd
 *
 * Context: process; sleeps.
 */
void core_record_closed(struct core_eventfd *efd)
{
	struct core_record *rec = efd->rec;

	mutex_lock(&rec->lock);
	drop(rec, efd->entry);
	mutex_unlock(&rec->lock);
}

/* What of KVM's ioctls ends what an earlier one began. */
static bool ends(struct core_record *rec, struct core_entry *e)
{
	struct core_entry *old;

	switch (e->cmd) {
	case KVM_SET_USER_MEMORY_REGION:
		if (((struct kvm_userspace_memory_region *)e->data)->memory_size)
			return false;
		drop(rec, find(rec, e));
		return true;
	case KVM_IRQFD:
		if (!(((struct kvm_irqfd *)e->data)->flags &
		      KVM_IRQFD_FLAG_DEASSIGN))
			return false;
		old = find(rec, e);
		if (old && ((struct kvm_irqfd *)old->data)->gsi ==
			   ((struct kvm_irqfd *)e->data)->gsi)
			drop(rec, old);
		return true;
	case KVM_IOEVENTFD:
		if (!(((struct kvm_ioeventfd *)e->data)->flags &
		      KVM_IOEVENTFD_FLAG_DEASSIGN))
			return false;
		drop(rec, find(rec, e));
		return true;
	case KVM_HYPERV_EVENTFD:
		if (((struct kvm_hyperv_eventfd *)e->data)->flags !=
		    KVM_HYPERV_EVENTFD_DEASSIGN)
			return false;
		drop(rec, find(rec, e));
		return true;
	case KVM_UNREGISTER_COALESCED_MMIO:
		drop_zones(rec, e);
		return true;
	case KVM_SET_CPUID:
	case KVM_SET_CPUID2: {
		/* Each replaces the other. */
		struct core_entry other = {
			.cmd = e->cmd == KVM_SET_CPUID ? KVM_SET_CPUID2 :
							 KVM_SET_CPUID,
		};

		drop(rec, find(rec, &other));
		return false;
	}
	case KVM_SET_DEVICE_ATTR: {
		struct kvm_device_attr *attr = (void *)e->data;

		if (attr->group != KVM_DEV_VFIO_GROUP ||
		    attr->attr != KVM_DEV_VFIO_GROUP_DEL)
			return false;
		drop(rec, find(rec, e));
		return true;
	}
	}
	return false;
}

/**
 * core_record_has_cap - was a capability enabled?
 * @cf: descriptor of a VM or vCPU
 * @cap: core_cap_key() of it
 *
 * Context: process; sleeps.
 */
bool core_record_has_cap(struct core_file *cf, u32 cap)
{
	struct core_entry like = { .cmd = KVM_ENABLE_CAP, .key = { cap } };
	struct core_record *rec = &cf->rec;
	bool has;

	mutex_lock(&rec->lock);
	has = rec->buckets && find(rec, &like);
	mutex_unlock(&rec->lock);
	return has;
}

/**
 * core_record_end - the ioctl has come back
 * @cf: as for core_record_begin()
 * @cmd: the ioctl
 * @e: from there, or NULL; not to be used afterwards
 * @result: of the ioctl
 *
 * Context: process; sleeps.
 */
void core_record_end(struct core_file *cf, unsigned int cmd,
		     struct core_entry *e, long result)
{
	struct core_record *rec = &cf->rec;
	char name[CORE_NAME_LEN];
	struct core_entry *old;

	if (result < 0)
		goto out;
	if (!e || e->partial) {
		core_record_block(cf, "%s was used", core_ioctl_name(cmd, name));
		goto out;
	}
	if (cmd == KVM_ENABLE_CAP) {
		u32 cap = ((struct kvm_enable_cap *)e->data)->cap;

		if (!core_cap_known(cf, cap))
			core_record_block(cf, "%s was enabled",
					  core_cap_name(cap, name));
	}
	mutex_lock(&rec->lock);
	if (!rec->buckets)
		rec->buckets = kcalloc(CORE_RECORD_BUCKETS,
				       sizeof(*rec->buckets),
				       GFP_KERNEL_ACCOUNT);
	changed(cf);
	if (!rec->buckets) {
		core_record_block(cf, "memory was out when it was configured");
	} else if (!ends(rec, e)) {
		old = find(rec, e);
		if (old) {
			if (cmd == KVM_ENABLE_CAP)
				core_cap_add((void *)e->data,
					     (void *)old->data);
			list_replace(&old->link, &e->link);
			hlist_add_before(&e->hash, &old->hash);
			hlist_del(&old->hash);
			core_entry_free(rec, old);
		} else {
			list_add_tail(&e->link, &rec->entries);
			hlist_add_head(&e->hash, bucket_of(rec, e));
		}
		let_go(rec, e);
		e = NULL;
	}
	mutex_unlock(&rec->lock);
out:
	core_entry_free(rec, e);
}
