// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-abuse: how many sessions there can be, and what other users see of them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "abuse.h"
#include "result.h"
#include "vfio.h"

static void set_parameter(const char *name, unsigned int value)
{
	char path[96], text[16];
	int fd, n;

	snprintf(path, sizeof(path), "/sys/module/vfio_keepalive/parameters/%s", name);
	n = snprintf(text, sizeof(text), "%u", value);
	fd = open(path, O_WRONLY);
	if (fd < 0 || write(fd, text, n) != n)
		exit(1);
	close(fd);
}

static int quota_sessions(void *arg)
{
	int i, r;

	(void)arg;
	become(USER);
	for (i = 0; ; i++) {
		r = ka_create(dev, "many", LONG, NULL);
		if (r < 0)
			return r == -EDQUOT ? i : r;
	}
}

static int quota_items(void *arg)
{
	int i, r, s;

	(void)arg;
	become(USER);
	s = ka_create(dev, "many", LONG, NULL);
	for (i = 0; ; i++) {
		char name[16];
		int e = eventfd(0, 0);

		snprintf(name, sizeof(name), "%d", i);
		r = ka_add(s, e, VFIO_KEEPALIVE_EVENTFD, name, 0, NULL, 0);
		close(e);
		if (r < 0)
			break;
	}
	if (r != -EDQUOT)
		return r;
	/* What is taken out makes room. */
	if (ka_remove(s, 0) ||
	    ka_add(s, eventfd(0, 0), VFIO_KEEPALIVE_EVENTFD, "z", 0, NULL, 0) < 0)
		return -1;
	ka_info(s, 0, 0, &(struct vfio_keepalive_info){ 0 });
	for (r = 0; r <= i + 1; r++)
		ka_remove(s, r);
	return i;
}

static int quota_bytes(void *arg)
{
	static __u8 bytes[65536];
	int s, r;

	(void)arg;
	become(USER);
	s = session(LONG, NULL);
	r = ka_set_state(s, VFIO_KEEPALIVE_SESSION, bytes, 65536);
	if (r)
		return r;
	r = ka_set_state(s, 0, bytes, 65536);
	if (r != -EDQUOT)
		return r;
	/* One that takes the place of another counts by the difference. */
	r = ka_set_state(s, VFIO_KEEPALIVE_SESSION, bytes, 65535);
	if (!r)
		r = ka_set_state(s, 0, bytes, 65536);
	ka_release(s, 0, 0);
	return r;
}

void test_quota(void)
{
	set_parameter("max_sessions", 5);
	is(in_child(quota_sessions, NULL), 5, "sessions of the host");
	usleep(200000);
	is(in_child(quota_sessions, NULL), 5, "they are free again");
	set_parameter("max_sessions", 4096);
	set_parameter("max_items", 20);
	is(in_child(quota_items, NULL), 20, "descriptors of a session");
	set_parameter("max_items", 4096);
	set_parameter("max_bytes", 100000);
	is(in_child(quota_bytes, NULL), -EDQUOT, "bytes of a session");
	set_parameter("max_bytes", 4 << 20);
}

static int open_as_user(void *arg)
{
	(void)arg;
	become(USER);
	return ka_open();
}

static int see_nothing(void *arg)
{
	struct vfio_keepalive_info info;

	(void)arg;
	become(USER);
	return ka_info(dev, 0, VFIO_KEEPALIVE_NEXT, &info);
}

static int see_it(void *arg)
{
	struct vfio_keepalive_info info;

	become(USER);
	return ka_info(dev, *(__u32 *)arg, 0, &info);
}

static int see_items(void *arg)
{
	struct vfio_keepalive_item item = { .argsz = sizeof(item), .session = *(__u32 *)arg };

	become(USER);
	return ioctl(dev, VFIO_KEEPALIVE_ITEM, &item) ? -errno : 0;
}

static int release_it(void *arg)
{
	become(USER);
	return ka_release(dev, *(__u32 *)arg, VFIO_KEEPALIVE_RELEASE_FORCE);
}

void test_users(void)
{
	struct vfio_keepalive_item item = {
		.argsz = sizeof(item), .flags = VFIO_KEEPALIVE_ITEM_NEXT,
	};
	struct ticket t;
	int s;

	is(in_child(open_as_user, NULL),
	   -EACCES, "a user who is not in the group cannot open it");
	s = session(LONG, &t);
	is(in_child(see_nothing, NULL), -EPERM, "another user is shown no session");
	is(in_child(see_it, &t.id), -EPERM, "nor by its number");
	is(in_child(see_items, &t.id), -EPERM, "nor what is in it");
	is(in_child(release_it, &t.id), -EPERM, "nor can release it");
	check(!ioctl(s, VFIO_KEEPALIVE_ITEM, &item) && item.index == 0 &&
	      !strcmp(item.name, "memory") && item.kind == VFIO_KEEPALIVE_MEMORY,
	      "items of a session");
	item.index = 1;
	item.flags = 0;
	item.session = t.id;
	check(!ioctl(dev, VFIO_KEEPALIVE_ITEM, &item) && !strcmp(item.name, "event"),
	      "by number and index");
	item.index = 2;
	check(ioctl(dev, VFIO_KEEPALIVE_ITEM, &item) && errno == ENOENT, "no more");
	item.flags = VFIO_KEEPALIVE_ITEM_NEXT | VFIO_KEEPALIVE_ITEM_BY_NAME;
	check(ioctl(s, VFIO_KEEPALIVE_ITEM, &item) && errno == EINVAL, "next and by name");
	close(s);
	ka_release(dev, t.id, 0);
}
