// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be seen of sessions. The token is not part of it.
 */
#include <linux/cred.h>
#include <linux/blk_types.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/minmax.h>
#include <linux/pid.h>
#include <linux/string.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "private.h"

/* The first from a number on; keepalive_lock is held. */
static int session_next(const struct caller *by, u32 id, struct session **found)
{
	unsigned long at = id;

	if (!by->admin)
		return -EPERM;
	*found = xa_find(&sessions, &at, ULONG_MAX, XA_PRESENT);
	return *found ? 0 : -ENOENT;
}

/* What everybody has allocated in files that are kept; keepalive_lock is held. */
static u64 memory_of(const struct session *session)
{
	const struct item *item;
	u64 blocks = 0;

	list_for_each_entry(item, &session->items, link)
		if (item->kind == VFIO_KEEPALIVE_MEMORY)
			blocks += READ_ONCE(file_inode(item->file)->i_blocks);
	return blocks << SECTOR_SHIFT;
}

/* As the caller sees it, 0 if it is gone or out of sight. */
static pid_t pid_of(struct pid *pid)
{
	pid_t nr;

	rcu_read_lock();
	nr = pid_task(pid, PIDTYPE_TGID) ? pid_vnr(pid) : 0;
	rcu_read_unlock();
	return nr;
}

static u32 left_ms(const struct session *session)
{
	s64 left;

	if (session->phase != VFIO_KEEPALIVE_ORPHANED || session->due)
		return 0;
	left = ktime_ms_delta(session->deadline, ktime_get());
	return max(left, 0LL);
}

/**
 * info_session - VFIO_KEEPALIVE_INFO
 * @by: by what it came
 * @args: argument
 *
 * Context: process.
 * Return: 0; errnos: see Documentation/vfio-keepalive.rst.
 */
long info_session(const struct caller *by, struct vfio_keepalive_info *args)
{
	struct session *session;
	int r;

	if (args->reserved || (by->session && args->flags))
		return -EINVAL;
	mutex_lock(&keepalive_lock);
	if (args->flags & VFIO_KEEPALIVE_NEXT)
		r = session_next(by, args->session, &session);
	else
		r = session_of(by, args->session, &session);
	if (!r) {
		args->session = session->id;
		/* What is due cannot be claimed any more, whoever still has it. */
		args->state = session->due ? VFIO_KEEPALIVE_RELEASED : session->phase;
		args->items = session->nr_items;
		args->claims = session->claims;
		args->uid = from_kuid_munged(current_user_ns(), session->uid);
		args->pid = pid_of(session->pid);
		args->limit_ms = session->limit_ms;
		args->left_ms = left_ms(session);
		args->bytes = session->bytes;
		args->memory = memory_of(session);
		args->state_size = blob_size(session->state);
		memcpy(args->name, session->name, sizeof(args->name));
		memcpy(args->comm, session->comm, sizeof(args->comm));
	}
	mutex_unlock(&keepalive_lock);
	return r;
}

static bool matches(const struct item *item, const struct vfio_keepalive_item *args)
{
	if (args->flags & VFIO_KEEPALIVE_ITEM_BY_NAME)
		return !strcmp(item->name, args->name);
	if (args->flags & VFIO_KEEPALIVE_ITEM_NEXT)
		return item->index >= args->index;
	return item->index == args->index;
}

/**
 * info_item - VFIO_KEEPALIVE_ITEM
 * @by: by what it came
 * @args: argument
 *
 * Context: process.
 * Return: 0; errnos: see Documentation/vfio-keepalive.rst.
 */
long info_item(const struct caller *by, struct vfio_keepalive_item *args)
{
	struct session *session;
	struct item *item;
	int r;

	if (args->reserved ||
	    args->flags == (VFIO_KEEPALIVE_ITEM_NEXT | VFIO_KEEPALIVE_ITEM_BY_NAME))
		return -EINVAL;
	if ((args->flags & VFIO_KEEPALIVE_ITEM_BY_NAME) && !keepalive_name_ok(args->name))
		return -EINVAL;
	mutex_lock(&keepalive_lock);
	r = session_of(by, args->session, &session);
	if (r)
		goto out;
	r = -ENOENT;
	list_for_each_entry(item, &session->items, link) {
		if (!matches(item, args))
			continue;
		args->session = session->id;
		args->index = item->index;
		args->kind = item->kind;
		args->item_flags = item->flags;
		args->state_size = blob_size(item->state);
		memcpy(args->name, item->name, sizeof(args->name));
		r = 0;
		break;
	}
out:
	mutex_unlock(&keepalive_lock);
	return r;
}
