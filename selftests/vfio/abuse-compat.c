// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-abuse: ioctls as a 32-bit process makes them. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>
#include "abuse.h"
#include "result.h"
#include "vfio.h"

/* An ioctl as a 32-bit process makes it: by the gate for those, with a short address. */
static int ioctl32(int fd, unsigned int cmd, void *arg)
{
	long r = 54;	/* ioctl, in the table of i386 */

	asm volatile("int $0x80"
		     : "+a" (r)
		     : "b" ((long)fd), "c" ((long)cmd), "d" ((unsigned long)(__u32)(uintptr_t)arg)
		     : "r8", "r9", "r10", "r11", "memory");
	return r;
}

/* Without that gate it is a fault. */
static int try_ioctl32(void *arg)
{
	(void)arg;
	return ioctl32(-1, 0, NULL);
}

/**
 * union compat - what a 32-bit process gives to ioctls, one after the other
 * @create: VFIO_KEEPALIVE_CREATE
 * @add: VFIO_KEEPALIVE_ADD
 * @item: VFIO_KEEPALIVE_ITEM
 * @index: VFIO_KEEPALIVE_GET_FD, VFIO_KEEPALIVE_REMOVE
 * @opaque: VFIO_KEEPALIVE_SET_STATE, VFIO_KEEPALIVE_GET_STATE
 * @info: VFIO_KEEPALIVE_INFO
 * @claim: VFIO_KEEPALIVE_CLAIM
 * @release: VFIO_KEEPALIVE_RELEASE
 */
union compat {
	struct vfio_keepalive_create create;
	struct vfio_keepalive_add add;
	struct vfio_keepalive_item item;
	struct vfio_keepalive_index index;
	struct vfio_keepalive_opaque opaque;
	struct vfio_keepalive_info info;
	struct vfio_keepalive_claim claim;
	struct vfio_keepalive_release release;
};

static void compat_session(union compat *a, char *state)
{
	int s, e = eventfd(3, 0), fd;
	struct ticket t;
	__u64 n = 0;

	a->create = (struct vfio_keepalive_create){ .argsz = sizeof(a->create), .limit_ms = LONG,
						    .name = "compat" };
	s = ioctl32(dev, VFIO_KEEPALIVE_CREATE, a);
	t.id = a->create.session;
	memcpy(t.token, a->create.token, sizeof(t.token));
	is(ka_state(s, 0), VFIO_KEEPALIVE_ACTIVE, "32 bits: create");
	memcpy(state, "state", 6);
	a->add = (struct vfio_keepalive_add){ .argsz = sizeof(a->add), .fd = e,
					      .kind = VFIO_KEEPALIVE_EVENTFD, .name = "event",
					      .state = (uintptr_t)state, .state_size = 6 };
	is(ioctl32(s, VFIO_KEEPALIVE_ADD, a), 0, "32 bits: add, with a state");
	memset(state, 0, 6);
	a->item = (struct vfio_keepalive_item){ .argsz = sizeof(a->item), .name = "event",
						.flags = VFIO_KEEPALIVE_ITEM_BY_NAME };
	check(!ioctl32(s, VFIO_KEEPALIVE_ITEM, a) && a->item.index == 0 &&
	      a->item.kind == VFIO_KEEPALIVE_EVENTFD && a->item.state_size == 6,
	      "32 bits: item");
	a->opaque = (struct vfio_keepalive_opaque){ .argsz = sizeof(a->opaque), .size = 6,
						    .state = (uintptr_t)state };
	check(!ioctl32(s, VFIO_KEEPALIVE_GET_STATE, a) && a->opaque.size == 6 &&
	      !strcmp(state, "state"), "32 bits: get_state");
	a->opaque = (struct vfio_keepalive_opaque){ .argsz = sizeof(a->opaque), .size = 4,
						    .index = VFIO_KEEPALIVE_SESSION,
						    .state = (uintptr_t)state };
	is(ioctl32(s, VFIO_KEEPALIVE_SET_STATE, a), 0, "32 bits: set_state");
	close(s);

	a->claim = (struct vfio_keepalive_claim){ .argsz = sizeof(a->claim), .session = t.id };
	memcpy(a->claim.token, t.token, sizeof(t.token));
	s = ioctl32(dev, VFIO_KEEPALIVE_CLAIM, a);
	is(ka_state(s, 0), VFIO_KEEPALIVE_CLAIMED, "32 bits: claim");
	a->index = (struct vfio_keepalive_index){ .argsz = sizeof(a->index) };
	fd = ioctl32(s, VFIO_KEEPALIVE_GET_FD, a);
	check(fd >= 0 && read(fd, &n, 8) == 8 && n == 3, "32 bits: get_fd");
	close(fd);
	is(ioctl32(s, VFIO_KEEPALIVE_REMOVE, a), 0, "32 bits: remove");
	a->info = (struct vfio_keepalive_info){ .argsz = sizeof(a->info), .session = t.id };
	check(!ioctl32(dev, VFIO_KEEPALIVE_INFO, a) && !strcmp(a->info.name, "compat") &&
	      a->info.pid == getpid() && a->info.claims == 1 && a->info.bytes == 4,
	      "32 bits: info");
	is(ioctl32(dev, VFIO_KEEPALIVE_INFO, (void *)8), -EFAULT, "32 bits: bad address");
	is(ioctl32(dev, VFIO_KEEPALIVE_ADD, a), -ENOTTY, "32 bits: not for the device");
	a->release = (struct vfio_keepalive_release){ .argsz = sizeof(a->release),
						      .flags = VFIO_KEEPALIVE_RELEASE_FORCE,
						      .session = t.id };
	is(ioctl32(dev, VFIO_KEEPALIVE_RELEASE, a), 0, "32 bits: release");
	is(ka_state(dev, t.id), -ENOENT, "then it is gone");
	close(s);
	close(e);
}

void test_compat(void)
{
	void *low = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	if (low == MAP_FAILED)
		exit(1);
	if (in_child(try_ioctl32, NULL) != -EBADF)
		result_skip("the kernel has no 32-bit processes\n");
	else
		compat_session(low, (char *)low + 4096);
	munmap(low, 2 * 4096);
}
