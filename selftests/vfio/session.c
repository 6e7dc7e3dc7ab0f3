// SPDX-License-Identifier: GPL-2.0-only
/* The ioctls of vfio-keepalive as functions. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "vfio.h"

static int call(int fd, unsigned long cmd, void *arg)
{
	int r = ioctl(fd, cmd, arg);

	return r < 0 ? -errno : r;
}

int ka_open(void)
{
	int fd = open("/dev/vfio-keepalive", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int ka_create(int dev, const char *name, __u32 limit_ms, struct ticket *ticket)
{
	struct vfio_keepalive_create a = { .argsz = sizeof(a), .limit_ms = limit_ms };
	int fd;

	snprintf(a.name, sizeof(a.name), "%s", name);
	fd = call(dev, VFIO_KEEPALIVE_CREATE, &a);
	if (fd >= 0 && ticket) {
		ticket->id = a.session;
		memcpy(ticket->token, a.token, sizeof(ticket->token));
	}
	return fd;
}

/* On success the ticket is the next one; it need not be confirmed to claim with it. */
int ka_claim(int dev, struct ticket *ticket)
{
	struct vfio_keepalive_claim a = { .argsz = sizeof(a), .session = ticket->id };
	int fd;

	memcpy(a.token, ticket->token, sizeof(a.token));
	fd = call(dev, VFIO_KEEPALIVE_CLAIM, &a);
	if (fd >= 0)
		memcpy(ticket->token, a.new_token, sizeof(ticket->token));
	return fd;
}

int ka_confirm(int session)
{
	struct vfio_keepalive_confirm a = { .argsz = sizeof(a) };

	return call(session, VFIO_KEEPALIVE_CONFIRM, &a);
}

int ka_watch(int dev, const struct ticket *ticket)
{
	struct vfio_keepalive_watch a = { .argsz = sizeof(a), .session = ticket->id };

	memcpy(a.token, ticket->token, sizeof(a.token));
	return call(dev, VFIO_KEEPALIVE_WATCH, &a);
}

int ka_release(int dev, __u32 id, __u32 flags)
{
	struct vfio_keepalive_release a = { .argsz = sizeof(a), .flags = flags, .session = id };

	return call(dev, VFIO_KEEPALIVE_RELEASE, &a);
}

int ka_add(int session, int fd, __u32 kind, const char *name, __u32 flags, const void *state,
	   __u32 size)
{
	struct vfio_keepalive_add a = {
		.argsz = sizeof(a), .flags = flags, .fd = fd, .kind = kind,
		.state = (uintptr_t)state, .state_size = size,
	};

	snprintf(a.name, sizeof(a.name), "%s", name);
	return call(session, VFIO_KEEPALIVE_ADD, &a);
}

int ka_remove(int session, __u32 index)
{
	struct vfio_keepalive_index a = { .argsz = sizeof(a), .index = index };

	return call(session, VFIO_KEEPALIVE_REMOVE, &a);
}

int ka_get_fd(int session, __u32 index)
{
	struct vfio_keepalive_index a = { .argsz = sizeof(a), .index = index };

	return call(session, VFIO_KEEPALIVE_GET_FD, &a);
}

int ka_get_fd_by_name(int session, const char *name)
{
	struct vfio_keepalive_item a = {
		.argsz = sizeof(a), .flags = VFIO_KEEPALIVE_ITEM_BY_NAME,
	};
	int r;

	snprintf(a.name, sizeof(a.name), "%s", name);
	r = call(session, VFIO_KEEPALIVE_ITEM, &a);
	return r < 0 ? r : ka_get_fd(session, a.index);
}

int ka_set_state(int session, __u32 index, const void *state, __u32 size)
{
	struct vfio_keepalive_opaque a = {
		.argsz = sizeof(a), .index = index, .size = size, .state = (uintptr_t)state,
	};

	return call(session, VFIO_KEEPALIVE_SET_STATE, &a);
}

int ka_get_state(int session, __u32 index, void *state, __u32 *size)
{
	struct vfio_keepalive_opaque a = {
		.argsz = sizeof(a), .index = index, .size = *size, .state = (uintptr_t)state,
	};
	int r = call(session, VFIO_KEEPALIVE_GET_STATE, &a);

	*size = a.size;
	return r;
}

int ka_info(int fd, __u32 id, __u32 flags, struct vfio_keepalive_info *info)
{
	*info = (struct vfio_keepalive_info){
		.argsz = sizeof(*info), .session = id, .flags = flags,
	};
	return call(fd, VFIO_KEEPALIVE_INFO, info);
}

/* enum vfio_keepalive_state or -errno */
int ka_state(int dev, __u32 id)
{
	struct vfio_keepalive_info info;
	int r = ka_info(dev, id, 0, &info);

	return r ? r : (int)info.state;
}

bool ka_wait_gone(int dev, __u32 id, unsigned int ms)
{
	unsigned int t;

	for (t = 0; t < ms; t++) {
		if (ka_state(dev, id) == -ENOENT)
			return true;
		usleep(1000);
	}
	return false;
}
