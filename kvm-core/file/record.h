/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration of a VM: what userspace has set up by ioctls and KVM does
 * not tell, kept so that it can be set up again on another instance.
 */
#ifndef __KVM_CORE_RECORD_H
#define __KVM_CORE_RECORD_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/types.h>

struct core_eventfd;
struct core_file;
struct eventfd_ctx;
struct file;
struct kvm_enable_cap;

#define CORE_RECORD_BUCKETS 64

/* In this order a VM is set up anew. */
enum core_phase {
	CORE_PHASE_VM,		/* before any vCPU */
	CORE_PHASE_CHIP,
	CORE_PHASE_PIT,
	CORE_PHASE_MEM,
	CORE_PHASE_ROUTE,
	CORE_PHASE_VCPU,	/* the vCPUs are created before this one */
	CORE_PHASE_BUS,
	CORE_PHASE_IRQ,
	CORE_PHASE_DEVICE,	/* when the VM is the target's */
	CORE_PHASES,
};

/**
 * struct core_entry - an ioctl that holds
 * @link:	in core_record.entries, in the order of the first such ioctl
 * @hash:	in core_record.buckets
 * @cmd:	the ioctl
 * @phase:	when it is replayed
 * @arg:	its argument, where that is no pointer; else the length of @data
 *		counts
 * @key:	a later ioctl with the same @cmd, @key and @who replaces it
 * @who:	what the argument's first descriptor leads to, only compared; or NULL
 * @file:	files that the argument names by descriptor, each with a reference. Those of
 *		eventfds leave when the entry is in the record: KVM does not keep
 *		them open either.
 * @ctx:	of these files that are eventfds and have no @efd: their contexts, each
 *		with a reference, as KVM has
 * @efd:	of an irqfd: its eventfd, or NULL
 * @partial:	a descriptor is not what it should be, which is the instance's to tell
 * @len:	length of @data; 0 when @arg is the argument
 * @data:	what the argument pointed to; its descriptors are indices of @file, its
 *		pointers lead into @data
 */
struct core_entry {
	struct list_head link;
	struct hlist_node hash;
	unsigned int cmd;
	enum core_phase phase;
	unsigned long arg;
	u64 key[3];
	const void *who;
	struct file *file[2];
	struct eventfd_ctx *ctx[2];
	struct core_eventfd *efd;
	bool partial;
	size_t len;
	u8 data[] __aligned(8);
};

/**
 * struct core_record - what a descriptor was told
 * @lock:	protects @entries and @buckets. Held while they are replayed, so while
 *		mmap_lock is taken
 * @entries:	struct core_entry
 * @buckets:	the same by hash; allocated with the first entry
 * @spare:	a small entry that is free, for the next; taken and given by xchg()
 * @irqfds:	an irqfd has been in there
 * @why_lock:	protects @why; taken also with mmap_lock held, and only core_move.lock
 *		is taken inside of it
 * @why:	why this cannot be set up again; empty if it can
 */
struct core_record {
	struct mutex lock;		/* see above */
	struct list_head entries;
	struct hlist_head *buckets;
	struct core_entry *spare;
	bool irqfds;
	spinlock_t why_lock;		/* see above */
	char why[64];
};

/* For core_ioctl_name() and core_cap_name(). */
#define CORE_NAME_LEN 24

void core_record_init(struct core_record *rec);
void core_record_free(struct core_record *rec);
__printf(2, 3) void core_record_block(struct core_file *cf, const char *fmt, ...);

bool core_record_is_state(const struct core_file *cf, unsigned int cmd);
struct core_entry *core_record_begin(struct core_file *cf, unsigned int cmd,
				     unsigned long arg);
bool core_record_has_cap(struct core_file *cf, u32 cap);
void core_record_closed(struct core_eventfd *efd);
void core_record_end(struct core_file *cf, unsigned int cmd,
		     struct core_entry *e, long result);

/* entry.c */
struct core_entry *core_entry_alloc(struct core_record *rec, size_t len);
struct core_entry *core_entry_copy(struct core_record *rec, const void __user *arg,
				   size_t len);
struct core_entry *core_entry_copy_of(struct core_record *rec, unsigned int cmd,
				      const void __user *arg);
void core_entry_free(struct core_record *rec, struct core_entry *e);

/* caps.c */
bool core_cap_known(const struct core_file *cf, u32 cap);
u32 core_cap_key(const struct kvm_enable_cap *cap);
enum core_phase core_cap_phase(const struct kvm_enable_cap *cap, enum core_phase usual);
void core_cap_add(struct kvm_enable_cap *cap, const struct kvm_enable_cap *old);

/* names.c */
const char *core_ioctl_name(unsigned int cmd, char buf[CORE_NAME_LEN]);
const char *core_cap_name(u32 cap, char buf[CORE_NAME_LEN]);

#endif
