/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of vfio-keepalive know of each other.
 */
#ifndef __VFIO_KEEPALIVE_PRIVATE_H
#define __VFIO_KEEPALIVE_PRIVATE_H

#include <linux/bits.h>
#include <linux/completion.h>
#include <linux/list.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/refcount.h>
#include <linux/sched.h>
#include <linux/types.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <linux/vfio_keepalive.h>

struct file;
struct pid;
struct user_namespace;

/**
 * struct blob - opaque bytes of a VMM; never changed, only replaced
 * @ref:	of the item or session, and of who copies it
 * @size:	of @data, not 0
 * @data:	the bytes
 */
struct blob {
	refcount_t ref;
	u32 size;
	u8 data[];
};

/**
 * struct account - what one memory cgroup has
 * @link:	in accounts of limit.c
 * @cgroup:	its number, which is never used again; 0 for the root's
 * @sessions:	number; the account goes with the last
 */
struct account {
	struct list_head link;
	u64 cgroup;
	u32 sessions;
};

/**
 * struct item - a descriptor in a session
 * @link:	in the session's list
 * @hash:	in files of item.c, by @file
 * @session:	the session, which is there as long as the item; constant
 * @file:	a reference; constant
 * @container:	of a container, a group or a device, by which VFIO knows it, to be
 *		compared and never followed; else NULL; constant
 * @vm:		of a VM or its kvm-vfio, by which kvm-core knows the VM, likewise; constant
 * @index:	constant once it is in the session
 * @kind:	enum vfio_keepalive_kind; constant
 * @flags:	VFIO_KEEPALIVE_ADD_*; constant
 * @name:	constant
 * @state:	its opaque state, or NULL
 * @wqh:	of the eventfd that is watched, or NULL; under keepalive_lock
 * @wait:	in @wqh
 * @table:	for vfs_poll() to find @wqh
 */
struct item {
	struct list_head link;
	struct hlist_node hash;
	struct session *session;
	struct file *file;
	const void *container;
	const void *vm;
	u32 index;
	u32 kind;
	u32 flags;
	char name[VFIO_KEEPALIVE_NAME_LEN];
	struct blob *state;
	wait_queue_head_t *wqh;
	wait_queue_entry_t wait;
	poll_table table;
};

/**
 * struct session - what one VMM wants to be kept
 * @ref:	one of the registry until it is released, one of the session's
 *		file, and of who works on it
 * @id:		number; constant
 * @phase:	enum vfio_keepalive_state
 * @due:	to be released, come what may: it cannot be used or claimed any more
 * @waited:	somebody who is out of memory has waited for its release
 * @reason:	why it was released if the log is to tell, or NULL; constant text
 * @frees:	once it is RELEASED, bytes that the host gets back
 * @uid:	the owner
 * @ns:		the owner's user namespace, a reference
 * @account:	the owner's cgroup's
 * @name:	constant
 * @token:	claims it
 * @next:	if @unconfirmed: what the last claim was told, and claims it as well
 * @spent:	the last token that was replaced, for a word of its own to who comes late
 * @unconfirmed: the last claim was not confirmed
 * @claims:	how often it was claimed
 * @limit_ms:	longest time as an orphan; constant
 * @keep_oom:	an orphan also when its VMM is killed for memory; constant
 * @deadline:	when an orphan's time ends
 * @pid:	who created or claimed it last, a reference
 * @comm:	the same
 * @items:	in the order of their indices
 * @nr_items:	number of them
 * @next_index:	of the next item
 * @state:	the session's own opaque state, or NULL
 * @bytes:	of all opaque states
 * @work:	looks whether the session is to be released, and releases it. It
 *		may be queued at any time until @phase is RELEASED, from the
 *		wake-up of an eventfd too, and decides under the lock
 * @gone:	all is closed and the session out of the registry. Flushing @work
 *		would not tell: what queues it again makes the flush return
 * @wait:	who polls it; woken when @phase, @due or a token changes
 *
 * keepalive_lock is held wherever a member that is not constant is read or written.
 * It is a leaf but for wait queues: no operation of VFIO, no access to user memory, no
 * allocation and no last fput() happens under it. So nobody who holds it waits for
 * a VMM or for a cgroup that is full, and it may be taken by who is out of memory.
 *
 * A session goes from ACTIVE or CLAIMED to ORPHANED when its file is released, from
 * ORPHANED to CLAIMED by a claim, and from any to RELEASED in @work. What decides
 * each of these looks at @phase and @due and changes them in one hold of the lock,
 * so of a claim and the end of the time exactly one happens.
 *
 * The registry's reference comes with one on the module, so text for @work is there;
 * the workqueue is destroyed before the module goes, so it is until @work returned.
 */
struct session {
	refcount_t ref;
	u32 id;
	u32 phase;
	bool due;
	bool waited;
	const char *reason;
	u64 frees;
	kuid_t uid;
	struct user_namespace *ns;
	struct account *account;
	char name[VFIO_KEEPALIVE_NAME_LEN];
	u8 token[VFIO_KEEPALIVE_TOKEN_LEN];
	u8 next[VFIO_KEEPALIVE_TOKEN_LEN];
	u8 spent[VFIO_KEEPALIVE_TOKEN_LEN];
	bool unconfirmed;
	u32 claims;
	u32 limit_ms;
	bool keep_oom;
	ktime_t deadline;
	struct pid *pid;
	char comm[TASK_COMM_LEN];
	struct list_head items;
	u32 nr_items;
	u32 next_index;
	struct blob *state;
	u64 bytes;
	struct delayed_work work;
	struct completion gone;
	wait_queue_head_t wait;
};

/* Where an ioctl may be used */
#define ON_DEVICE	BIT(0)
#define ON_SESSION	BIT(1)
#define ON_WATCH	BIT(2)

/**
 * struct caller - by what an ioctl came
 * @on:		one of ON_*
 * @admin:	on the device: the caller has CAP_SYS_ADMIN
 * @session:	of the descriptor, or NULL on the device
 * @token:	of a watch, which is good for nothing once that is not valid; or NULL
 */
struct caller {
	unsigned int on;
	bool admin;
	struct session *session;
	const u8 *token;
};

extern struct mutex keepalive_lock;

/* main.c */
int keepalive_args(void *args, size_t size, size_t least, const void __user *from);
bool keepalive_name_ok(const char *name);
long keepalive_ioctl(struct caller *by, unsigned int cmd, void __user *arg);
void keepalive_event(const struct session *session, const char *event);

/* session.c */
extern struct xarray sessions;

int session_setup(void);
void session_cleanup(void);
long session_create(struct vfio_keepalive_create __user *from);
struct file *session_file(void);
void session_give(struct session *session, struct file *file);
bool session_is_mine(const struct session *session);
bool session_is_usable(const struct session *session);
void session_get(struct session *session);
void session_put(struct session *session);
void session_poke(struct session *session);
void session_end(struct session *session);
int session_of(const struct caller *by, u32 id, struct session **found);
long session_release(const struct caller *by, const struct vfio_keepalive_release *args);

/* claim.c */
bool claim_has(const struct session *session, const u8 *token);
int claim_may(const struct session *session, const u8 *token, bool admin);
long claim_session(struct vfio_keepalive_claim __user *from);
long claim_confirm(struct session *session);

/* watch.c */
long watch_session(struct vfio_keepalive_watch __user *from);

/* item.c */
long item_add(struct session *session, const struct vfio_keepalive_add *args);
long item_remove(struct session *session, const struct vfio_keepalive_index *args);
long item_get_fd(struct session *session, const struct vfio_keepalive_index *args);
long item_set_state(struct session *session, const struct vfio_keepalive_opaque *args);
long item_get_state(struct session *session, struct vfio_keepalive_opaque *args);
struct item *item_find(struct session *session, u32 index);
bool item_wants_release(struct session *session);
void item_take_all(struct session *session, struct list_head *to);
void item_close_all(struct list_head *items);

/* kind.c */
int kind_check(struct file *file, u32 kind);
const void *kind_container(struct file *file);
const void *kind_vm(struct file *file);
bool kind_is_in(struct file *file, u32 kind, const void *container);

/* blob.c */
struct blob *blob_copy(u64 from, u32 size);
void blob_put(struct blob *blob);
u32 blob_size(const struct blob *blob);

/* limit.c */
extern unsigned int max_limit_ms;

struct account *limit_account(void);
int limit_open(struct session *session, struct account **spare);
int limit_move(struct session *session, struct account **spare);
void limit_close(struct session *session);
int limit_charge(struct session *session, int items, s64 bytes);

/* oom.c */
int oom_setup(void);
void oom_cleanup(void);
u64 oom_frees(struct session *session);

/* info.c */
long info_session(const struct caller *by, struct vfio_keepalive_info *args);
long info_item(const struct caller *by, struct vfio_keepalive_item *args);

#endif
