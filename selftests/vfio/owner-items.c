// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-owner: what is in a session: memory and eventfds, which two can have, and devices. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "owner.h"
#include "result.h"
#include "vfio.h"

void test_share(void)
{
	int a = ka_create(dev, "a", LONG, NULL), b = ka_create(dev, "b", LONG, NULL);
	int memory = guest_memory(1 << 20), event = eventfd(0, EFD_CLOEXEC), fd;
	struct vfio_keepalive_info info;
	__u64 count = 3;

	if (fallocate(memory, 0, 0, 1 << 20))
		err(1, "fallocate");
	is(ka_add(a, memory, VFIO_KEEPALIVE_MEMORY, "memory", 0, NULL, 0), 0,
	   "memory in a session");
	is(ka_add(b, memory, VFIO_KEEPALIVE_MEMORY, "memory", 0, NULL, 0), 0, "and in another");
	is(ka_add(a, memory, VFIO_KEEPALIVE_MEMORY, "again", 0, NULL, 0), -EEXIST,
	   "not twice in one");
	is(ka_add(a, event, VFIO_KEEPALIVE_EVENTFD, "event", VFIO_KEEPALIVE_ADD_REQUEST, NULL,
		  0), 1, "an eventfd in a session");
	is(ka_add(b, event, VFIO_KEEPALIVE_EVENTFD, "event", 0, NULL, 0), 1, "and in another");
	check(!ka_info(a, 0, 0, &info) && info.memory == 1 << 20, "its memory is shown");
	close(memory);
	close(event);
	is(ka_release(a, 0, 0), 0, "one is released");
	fd = ka_get_fd(b, 1);
	check(fd >= 0 && write(fd, &count, 8) == 8 && read(fd, &count, 8) == 8 && count == 3,
	      "the other still has the eventfd");
	check(!ka_info(b, 0, 0, &info) && info.memory == 1 << 20, "and the memory");
	close(fd);
	close(a);
	ka_release(b, 0, 0);
	close(b);
}

void test_sizes(void)
{
	struct {
		struct vfio_keepalive_info info;
		__u8 more[32];
	} a = { .info = { .argsz = VFIO_KEEPALIVE_INFO_SIZE_VER0, .memory = 77 } };
	int s = session(NULL);

	check(!ioctl(s, VFIO_KEEPALIVE_INFO, &a) && a.info.items == 1 && a.info.memory == 77,
	      "info: as long as it was first, and nothing behind that");
	a.info.argsz--;
	check(ioctl(s, VFIO_KEEPALIVE_INFO, &a) && errno == EINVAL, "info: shorter than ever");
	a.info.argsz = sizeof(a);
	memset(a.more, 0, sizeof(a.more));
	check(!ioctl(s, VFIO_KEEPALIVE_INFO, &a) && !a.info.memory && a.info.argsz == sizeof(a),
	      "info: longer than the kernel's");
	is(ka_release(s, 0, 0), 0, "release");
	close(s);
}

#define TRACING	"/sys/kernel/tracing/"

/* How often the trace has that text. */
static int traced(const char *text)
{
	FILE *f = fopen(TRACING "trace", "r");
	char line[512];
	int n = 0;

	while (f && fgets(line, sizeof(line), f))
		n += !!strstr(line, text);
	if (f)
		fclose(f);
	return n;
}

/* An eventfd that asks for the device makes work of the kernel's for an orphan alone. */
void test_work(void)
{
	static const char work[] = "workqueue=vfio-keepalive ";
	int s = ka_create(dev, "work", LONG, NULL), e = eventfd(0, EFD_NONBLOCK), i;
	__u64 one = 1;

	if (ka_add(s, e, VFIO_KEEPALIVE_EVENTFD, "e", VFIO_KEEPALIVE_ADD_REQUEST, NULL, 0))
		errx(1, "no eventfd");
	write_file(TRACING "trace", "");
	write_file(TRACING "events/workqueue/workqueue_queue_work/enable", "1");
	for (i = 0; i < 1000; i++)
		if (write(e, &one, 8) != 8 || read(e, &one, 8) != 8)
			err(1, "eventfd");
	is(traced(work), 0, "work for a VMM that signals itself");
	close(s);
	check(traced(work) > 0, "work for an orphan");
	write_file(TRACING "events/workqueue/workqueue_queue_work/enable", "0");
	if (write(e, &one, 8) != 8)
		err(1, "eventfd");
	close(e);
}

/* A group or a device goes where its container is, and nowhere else. */
void test_device(const char *one, const char *two)
{
	int s, memory = guest_memory(1 << 20), container;
	struct device a, b;

	device_open(&a, one, false);
	device_open(&b, two, false);
	s = ka_create(dev, "device", LONG, NULL);
	is(ka_add(s, a.group, VFIO_KEEPALIVE_GROUP, "early", 0, NULL, 0), -ENODEV,
	   "a group without a container");
	is(ka_add(s, b.container, VFIO_KEEPALIVE_CONTAINER, "other", 0, NULL, 0), 0,
	   "a container that is another group's");
	is(ka_add(s, a.group, VFIO_KEEPALIVE_GROUP, "group", 0, NULL, 0), -ENODEV,
	   "a group of which that is not the container");
	is(ka_add(s, a.fd, VFIO_KEEPALIVE_DEVICE, "device", 0, NULL, 0), -ENODEV,
	   "a device of which that is not the container");
	container = ka_add(s, a.container, VFIO_KEEPALIVE_CONTAINER, "own", 0, NULL, 0);
	check(container > 0, "their own container");
	check(ka_add(s, a.group, VFIO_KEEPALIVE_GROUP, "group", 0, NULL, 0) > 0, "the group");
	is(ka_remove(s, container), -EBUSY, "the container stays as long as the group");
	check(ka_add(s, a.fd, VFIO_KEEPALIVE_DEVICE, "device", 0, NULL, 0) > 0, "the device");
	is(ka_remove(s, 0), 0, "the other container does not");
	is(ka_add(s, b.fd, VFIO_KEEPALIVE_DEVICE, "b", 0, NULL, 0), -ENODEV,
	   "then its device is none of the session's");
	is(ka_release(s, 0, 0), 0, "release");
	close(s);

	/* Only these are in one session alone. */
	s = ka_create(dev, "keeper", LONG, NULL);
	device_keep(&a, s, memory);
	container = ka_create(dev, "other", LONG, NULL);
	is(ka_add(container, a.container, VFIO_KEEPALIVE_CONTAINER, "c", 0, NULL, 0), -EBUSY,
	   "a container that another session has");
	is(ka_add(container, memory, VFIO_KEEPALIVE_MEMORY, "m", 0, NULL, 0), 0,
	   "memory that another session has");
	is(ka_add(container, a.msi, VFIO_KEEPALIVE_EVENTFD, "e", 0, NULL, 0), 1,
	   "an eventfd that another session has");
	ka_release(container, 0, 0);
	ka_release(s, 0, 0);
	close(container);
	close(s);
	device_close(&a);
	device_close(&b);
	close(memory);
}
