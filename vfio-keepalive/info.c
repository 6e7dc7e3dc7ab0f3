// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be seen of sessions. The token is not part of it.
 */
#include <linux/cred.h>
#include <linux/errno.h>
#include <linux/minmax.h>
#include <linux/pid.h>
#include <linux/string.h>
#include <linux/uidgid.h>
#include <linux/user_namespace.h>

#include "private.h"

/* By number, for the caller to see; keepalive_lock is held. */
static int session_find(u32 id, bool next, struct session **found)
{
	unsigned long at = id;
	struct session *session;

	if (!next) {
		session = xa_load(&sessions, id);
		if (!session)
			return -ENOENT;
		*found = session;
		return session_is_visible(session) ? 0 : -EPERM;
	}
	xa_for_each_start(&sessions, at, session, id) {
		if (!session_is_visible(session))
			continue;
		*found = session;
		return 0;
	}
	return -ENOENT;
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

	if (session->phase != VFIO_KEEPALIVE_ORPHANED)
		return 0;
	left = ktime_ms_delta(session->deadline, ktime_get());
	return max(left, 0LL);
}

/**
 * info_session - VFIO_KEEPALIVE_INFO
 * @session: of the descriptor, or NULL
 * @args: argument
 *
 * Context: process.
 * Return: 0; errnos: see Documentation/vfio-keepalive.rst.
 */
long info_session(struct session *session, struct vfio_keepalive_info *args)
{
	int r = 0;

	if (args->reserved || (session && args->flags))
		return -EINVAL;
	mutex_lock(&keepalive_lock);
	if (!session)
		r = session_find(args->session, args->flags & VFIO_KEEPALIVE_NEXT, &session);
	if (!r) {
		args->session = session->id;
		args->state = session->phase;
		args->items = session->nr_items;
		args->claims = session->claims;
		args->uid = from_kuid_munged(current_user_ns(), session->uid);
		args->pid = pid_of(session->pid);
		args->limit_ms = session->limit_ms;
		args->left_ms = left_ms(session);
		args->bytes = session->bytes;
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
 * @session: of the descriptor, or NULL
 * @args: argument
 *
 * Context: process.
 * Return: 0; errnos: see Documentation/vfio-keepalive.rst.
 */
long info_item(struct session *session, struct vfio_keepalive_item *args)
{
	struct item *item;
	int r = 0;

	if (args->reserved ||
	    args->flags == (VFIO_KEEPALIVE_ITEM_NEXT | VFIO_KEEPALIVE_ITEM_BY_NAME))
		return -EINVAL;
	if ((args->flags & VFIO_KEEPALIVE_ITEM_BY_NAME) && !keepalive_name_ok(args->name))
		return -EINVAL;
	mutex_lock(&keepalive_lock);
	if (!session)
		r = session_find(args->session, false, &session);
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
