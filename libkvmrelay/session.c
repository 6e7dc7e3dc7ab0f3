// SPDX-License-Identifier: GPL-2.0-only
/* Sessions of vfio-keepalive, and what is in them by name. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "private.h"

#define DEVICE	"/dev/vfio-keepalive"

static int call(int fd, unsigned long cmd, void *arg)
{
	int r = ioctl(fd, cmd, arg);

	return r < 0 ? -errno : r;
}

/* A descriptor of the device, which is @dev if that is one. */
static int device_open(int dev, struct kvmrelay_error *err)
{
	int fd = dev < 0 ? open(DEVICE, O_RDWR | O_CLOEXEC) : dev;

	return fd < 0 ? kvmrelay_fail(err, -errno, "%s: %s", DEVICE, strerror(errno)) : fd;
}

static void device_close(int dev, int fd)
{
	if (dev < 0)
		close(fd);
}

static int set_name(char to[VFIO_KEEPALIVE_NAME_LEN], const char *name,
		    struct kvmrelay_error *err)
{
	if (strlen(name) >= VFIO_KEEPALIVE_NAME_LEN)
		return kvmrelay_fail(err, -EINVAL, "the name %s is longer than %d characters",
				     name, VFIO_KEEPALIVE_NAME_LEN - 1);
	strcpy(to, name);
	return 0;
}

EXPORT int kvmrelay_session_create(int dev, const char *name, unsigned int limit_ms,
				   struct kvmrelay_ticket *ticket, struct kvmrelay_error *err)
{
	struct vfio_keepalive_create a = { .argsz = sizeof(a), .limit_ms = limit_ms };
	int fd, r = set_name(a.name, name, err);

	if (r)
		return r;
	fd = device_open(dev, err);
	if (fd < 0)
		return fd;
	r = call(fd, VFIO_KEEPALIVE_CREATE, &a);
	device_close(dev, fd);
	if (r == -EINVAL)
		return kvmrelay_fail(err, r, "a session's name is printable ASCII");
	if (r == -ERANGE)
		return kvmrelay_fail(err, r,
				     "a time limit of %u ms is 0, or longer than the host allows",
				     limit_ms);
	if (r == -EDQUOT)
		return kvmrelay_fail(err, r, "there are as many sessions as there may be");
	if (r < 0)
		return kvmrelay_fail(err, r, "creating a session: %s", strerror(-r));
	ticket->session = a.session;
	memcpy(ticket->token, a.token, sizeof(ticket->token));
	return r;
}

static int refused(__u32 session, int r, struct kvmrelay_error *err)
{
	switch (r) {
	case -ENOENT:
		return kvmrelay_fail(err, r, "there is no session %u, or it is being released",
				     session);
	case -EACCES:
		return kvmrelay_fail(err, r, "the token is not that of session %u", session);
	case -ESTALE:
		return kvmrelay_fail(err, r, "the token of session %u was replaced", session);
	case -EPERM:
		return kvmrelay_fail(err, r, "session %u is another user's", session);
	case -EBUSY:
		return kvmrelay_fail(err, r, "a process has session %u", session);
	case -EDQUOT:
		return kvmrelay_fail(err, r, "this cgroup has as many sessions as it may have");
	}
	return kvmrelay_fail(err, r, "session %u: %s", session, strerror(-r));
}

EXPORT int kvmrelay_session_claim(int dev, struct kvmrelay_ticket *ticket,
				  struct kvmrelay_error *err)
{
	struct vfio_keepalive_claim a = { .argsz = sizeof(a), .session = ticket->session };
	int fd = device_open(dev, err), r;

	if (fd < 0)
		return fd;
	memcpy(a.token, ticket->token, sizeof(a.token));
	r = call(fd, VFIO_KEEPALIVE_CLAIM, &a);
	device_close(dev, fd);
	if (r < 0)
		return refused(ticket->session, r, err);
	memcpy(ticket->token, a.new_token, sizeof(ticket->token));
	return r;
}

/* A failure in between leaves a ticket in the file that claims. */
EXPORT int kvmrelay_session_open(int dev, const char *path, struct kvmrelay_error *err)
{
	struct kvmrelay_ticket ticket;
	int session, r;

	r = kvmrelay_ticket_load(path, &ticket, err);
	if (r)
		return r;
	session = kvmrelay_session_claim(dev, &ticket, err);
	if (session >= 0)
		r = kvmrelay_ticket_save(path, &ticket, err);
	explicit_bzero(&ticket, sizeof(ticket));
	if (session < 0)
		return session;
	if (!r)
		r = kvmrelay_session_confirm(session, err);
	if (!r)
		return session;
	close(session);
	return r;
}

EXPORT int kvmrelay_session_watch(int dev, const struct kvmrelay_ticket *ticket,
				  struct kvmrelay_error *err)
{
	struct vfio_keepalive_watch a = { .argsz = sizeof(a), .session = ticket->session };
	int fd = device_open(dev, err), r;

	if (fd < 0)
		return fd;
	memcpy(a.token, ticket->token, sizeof(a.token));
	r = call(fd, VFIO_KEEPALIVE_WATCH, &a);
	device_close(dev, fd);
	return r < 0 ? refused(ticket->session, r, err) : r;
}

EXPORT int kvmrelay_session_confirm(int session, struct kvmrelay_error *err)
{
	struct vfio_keepalive_confirm a = { .argsz = sizeof(a) };
	int r = call(session, VFIO_KEEPALIVE_CONFIRM, &a);

	return r ? kvmrelay_fail(err, r, "confirming the claim: %s", strerror(-r)) : 0;
}

EXPORT int kvmrelay_session_release(int session, struct kvmrelay_error *err)
{
	struct vfio_keepalive_release a = { .argsz = sizeof(a) };
	int r = call(session, VFIO_KEEPALIVE_RELEASE, &a);

	return r ? kvmrelay_fail(err, r, "releasing the session: %s", strerror(-r)) : 0;
}

EXPORT int kvmrelay_session_wait(int watch, int timeout_ms, struct kvmrelay_error *err)
{
	struct pollfd p = { .fd = watch, .events = POLLIN };
	int r = poll(&p, 1, timeout_ms);

	if (r < 0)
		return kvmrelay_fail(err, -errno, "waiting for the session: %s", strerror(errno));
	if (!r)
		return kvmrelay_fail(err, -ETIMEDOUT, "a process has the session still");
	if (p.revents & POLLNVAL)
		return kvmrelay_fail(err, -EBADF, "there is no descriptor %d", watch);
	if (p.revents & POLLERR)
		return kvmrelay_fail(err, -ESTALE, "another has claimed the session");
	if (p.revents & POLLHUP)
		return kvmrelay_fail(err, -ENOENT, "the session was released");
	return 0;
}

EXPORT int kvmrelay_session_info(int fd, struct vfio_keepalive_info *info,
				 struct kvmrelay_error *err)
{
	int r;

	memset(info, 0, sizeof(*info));
	info->argsz = sizeof(*info);
	r = call(fd, VFIO_KEEPALIVE_INFO, info);
	return r ? kvmrelay_fail(err, r, "what the session is: %s", strerror(-r)) : 0;
}

/* Its index */
static int find(int session, const char *name, struct vfio_keepalive_item *item,
		struct kvmrelay_error *err)
{
	int r;

	memset(item, 0, sizeof(*item));
	item->argsz = sizeof(*item);
	item->flags = VFIO_KEEPALIVE_ITEM_BY_NAME;
	r = set_name(item->name, name, err);
	if (r)
		return r;
	r = call(session, VFIO_KEEPALIVE_ITEM, item);
	if (r == -ENOENT)
		return kvmrelay_fail(err, r, "the session has no %s", name);
	return r ? kvmrelay_fail(err, r, "%s in the session: %s", name, strerror(-r)) : 0;
}

EXPORT int kvmrelay_keep(int session, const char *name, enum vfio_keepalive_kind kind, int fd,
			 __u32 flags, struct kvmrelay_error *err)
{
	struct vfio_keepalive_add a = {
		.argsz = sizeof(a), .flags = flags, .fd = fd, .kind = kind,
	};
	int r = set_name(a.name, name, err);

	if (r)
		return r;
	r = call(session, VFIO_KEEPALIVE_ADD, &a);
	switch (r) {
	case -EEXIST:
		return kvmrelay_fail(err, r, "%s, or its descriptor, is in the session already",
				     name);
	case -EBUSY:
		return kvmrelay_fail(err, r, "%s: another session has it", name);
	case -EINVAL:
		return kvmrelay_fail(err, r,
				     "%s: descriptor %d is not of that kind, or the name is none",
				     name, fd);
	case -ENODEV:
		return kvmrelay_fail(err, r, "%s: its container is not in the session", name);
	case -EDQUOT:
		return kvmrelay_fail(err, r, "%s: a session may not have more", name);
	}
	return r < 0 ? kvmrelay_fail(err, r, "%s into the session: %s", name, strerror(-r)) : 0;
}

static int by_index(int session, unsigned long cmd, const char *name,
		    struct kvmrelay_error *err)
{
	struct vfio_keepalive_index a = { .argsz = sizeof(a) };
	struct vfio_keepalive_item item;
	int r = find(session, name, &item, err);

	if (r)
		return r;
	a.index = item.index;
	r = call(session, cmd, &a);
	return r < 0 ? kvmrelay_fail(err, r, "%s of the session: %s", name, strerror(-r)) : r;
}

EXPORT int kvmrelay_take(int session, const char *name, struct kvmrelay_error *err)
{
	return by_index(session, VFIO_KEEPALIVE_GET_FD, name, err);
}

EXPORT int kvmrelay_drop(int session, const char *name, struct kvmrelay_error *err)
{
	return by_index(session, VFIO_KEEPALIVE_REMOVE, name, err);
}

static int opaque(int session, unsigned long cmd, const char *name,
		  struct vfio_keepalive_opaque *a, struct kvmrelay_error *err)
{
	struct vfio_keepalive_item item = { .index = VFIO_KEEPALIVE_SESSION };
	int r = name ? find(session, name, &item, err) : 0;

	if (r)
		return r;
	a->argsz = sizeof(*a);
	a->index = item.index;
	r = call(session, cmd, a);
	if (r == -ENOSPC)
		return kvmrelay_fail(err, r, "the state of %s has %u bytes", name ?: "the session",
				     a->size);
	return r < 0 ? kvmrelay_fail(err, r, "the state of %s: %s", name ?: "the session",
				     strerror(-r)) : 0;
}

EXPORT int kvmrelay_set_state(int session, const char *name, const void *state, size_t size,
			      struct kvmrelay_error *err)
{
	struct vfio_keepalive_opaque a = { .size = size, .state = (uintptr_t)state };

	if (size > VFIO_KEEPALIVE_STATE_MAX)
		return kvmrelay_fail(err, -E2BIG, "a state of %zu bytes: at most %u are possible",
				     size, VFIO_KEEPALIVE_STATE_MAX);
	return opaque(session, VFIO_KEEPALIVE_SET_STATE, name, &a, err);
}

EXPORT int kvmrelay_get_state(int session, const char *name, void *state, size_t room,
			      struct kvmrelay_error *err)
{
	struct vfio_keepalive_opaque a = {
		.size = room > VFIO_KEEPALIVE_STATE_MAX ? VFIO_KEEPALIVE_STATE_MAX : room,
		.state = (uintptr_t)state,
	};
	int r = opaque(session, VFIO_KEEPALIVE_GET_STATE, name, &a, err);

	return r ?: (int)a.size;
}
