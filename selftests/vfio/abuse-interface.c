// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-abuse: the ioctls, what they refuse, and the states that a session keeps. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "abuse.h"
#include "result.h"
#include "vfio.h"

static int create_raw(struct vfio_keepalive_create *a)
{
	int r = ioctl(dev, VFIO_KEEPALIVE_CREATE, a);

	return r < 0 ? -errno : r;
}

void test_interface(void)
{
	struct {
		struct vfio_keepalive_create a;
		__u64 more;
	} big = { .a = { .argsz = sizeof(big), .limit_ms = LONG, .name = "big" } };
	struct vfio_keepalive_create a = { .argsz = sizeof(a), .limit_ms = LONG };
	struct vfio_keepalive_info info;
	struct ticket t1, t2;
	int s, s2;

	a.argsz = sizeof(a) - 1;
	is(create_raw(&a), -EINVAL, "create: too short");
	a.argsz = 0;
	is(create_raw(&a), -EINVAL, "create: no size");
	a.argsz = 1 << 20;
	is(create_raw(&a), -E2BIG, "create: too long");
	a.argsz = sizeof(a);
	a.flags = 2;
	is(create_raw(&a), -EINVAL, "create: unknown flag");
	a.flags = 0;
	a.limit_ms = 0;
	is(create_raw(&a), -ERANGE, "create: no time limit");
	a.limit_ms = UINT32_MAX;
	is(create_raw(&a), -ERANGE, "create: too long a time limit");
	a.limit_ms = LONG;
	memset(a.name, 'x', sizeof(a.name));
	is(create_raw(&a), -EINVAL, "create: a name that does not end");
	strcpy(a.name, "a\033[2Jb");
	is(create_raw(&a), -EINVAL, "create: a name that moves the cursor");
	is(create_raw((void *)8), -EFAULT, "create: bad address");
	big.more = 1;
	is(create_raw(&big.a), -E2BIG, "create: more than the kernel knows");
	big.more = 0;
	s = create_raw(&big.a);
	check(s >= 0, "create: longer, the rest zero");
	check(fcntl(s, F_GETFD) == FD_CLOEXEC, "a session's descriptor has O_CLOEXEC");
	close(s);

	s = ka_create(dev, "one", LONG, &t1);
	s2 = ka_create(dev, "two", LONG, &t2);
	check(s >= 0 && s2 >= 0 && t1.id != t2.id && memcmp(t1.token, t2.token, 32),
	      "two sessions, two numbers, two tokens");
	check(!ka_info(s, 0, 0, &info) && info.session == t1.id && !strcmp(info.name, "one") &&
	      info.state == VFIO_KEEPALIVE_ACTIVE && info.pid == getpid() && !info.items &&
	      !strcmp(info.comm, "keepalive-abuse"), "info on the session's descriptor");
	check(!memmem(&info, sizeof(info), t1.token, 8), "the token is not in it");
	is(ka_info(s, 0, VFIO_KEEPALIVE_NEXT, &info), -EINVAL, "info: no next on it");
	check(!ka_info(dev, t1.id + 1, VFIO_KEEPALIVE_NEXT, &info) && info.session == t2.id,
	      "info of the next");
	is(ka_info(dev, t2.id + 1, VFIO_KEEPALIVE_NEXT, &info), -ENOENT, "info: no more");
	is(ka_info(dev, 0, 2, &info), -EINVAL, "info: unknown flag");
	check(ioctl(dev, VFIO_KEEPALIVE_ADD, &a) < 0 && errno == ENOTTY,
	      "what is for a session is not for the device");
	check(ioctl(s, VFIO_KEEPALIVE_CREATE, &a) < 0 && errno == ENOTTY, "and the reverse");
	check(ioctl(s, 0x1234, &a) < 0 && errno == ENOTTY, "unknown ioctl");
	close(s2);
	check(ka_wait_gone(dev, t2.id, 1000), "an empty session goes when it is closed");
	close(s);
}

static void refuse(int s, int fd, __u32 kind, int want, const char *what)
{
	is(ka_add(s, fd, kind, "refused", 0, NULL, 0), want, what);
	if (fd >= 0)
		close(fd);
}

void test_refuse(void)
{
	int p[2], sv[2], s, s2, mem, event, own;
	struct ticket t, t2;
	unsigned int kind;
	bool ok = true;

	s = session(LONG, &t);
	s2 = session(LONG, &t2);
	if (pipe(p))
		exit(1);
	/* The debug host's kernel has no sockets. */
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv)) {
		sv[0] = dup(p[0]);
		sv[1] = dup(p[1]);
	}
	for (kind = 0; kind <= VFIO_KEEPALIVE_KVM_DEVICE + 1; kind++)
		ok &= ka_add(s, sv[0], kind, "x", 0, NULL, 0) == -EINVAL &&
		      ka_add(s, s, kind, "x", 0, NULL, 0) == -EINVAL &&
		      ka_add(s, s2, kind, "x", 0, NULL, 0) == -EINVAL &&
		      ka_add(s, dev, kind, "x", 0, NULL, 0) == -EINVAL;
	check(ok, "add: socket, session, other session, the device, as any kind");
	refuse(s, p[0], VFIO_KEEPALIVE_EVENTFD, -EINVAL, "add: a pipe");
	refuse(s, -1, VFIO_KEEPALIVE_MEMORY, -EBADF, "add: no descriptor");
	refuse(s, open("/dev/null", O_RDWR), VFIO_KEEPALIVE_CONTAINER, -EINVAL, "add: /dev/null");
	refuse(s, open("/proc/self/status", O_RDONLY), VFIO_KEEPALIVE_MEMORY, -EINVAL,
	       "add: a file that is no memory");
	refuse(s, open("/tmp", O_RDONLY), VFIO_KEEPALIVE_MEMORY, -EINVAL, "add: a directory");
	refuse(s, open("/proc/self/exe", O_PATH), VFIO_KEEPALIVE_MEMORY, -EBADF, "add: O_PATH");
	refuse(s, eventfd(0, 0), VFIO_KEEPALIVE_MEMORY, -EINVAL, "add: eventfd as memory");
	refuse(s, eventfd(0, 0), VFIO_KEEPALIVE_DEVICE, -EINVAL, "add: eventfd as device");
	refuse(s, memfd_create("x", 0), VFIO_KEEPALIVE_EVENTFD, -EINVAL, "add: memfd as eventfd");
	refuse(s, memfd_create("x", 0), VFIO_KEEPALIVE_GROUP, -EINVAL, "add: memfd as group");
	/* Of a KVM's files: vmm-adopt. */
	refuse(s, memfd_create("x", 0), VFIO_KEEPALIVE_KVM_DEVICE, -EINVAL,
	       "add: memfd as kvm-vfio");
	refuse(s, eventfd(0, 0), VFIO_KEEPALIVE_KVM_DEVICE, -EINVAL, "add: eventfd as kvm-vfio");
	mem = memfd_create("x", 0);
	is(ka_add(s, mem, VFIO_KEEPALIVE_MEMORY, "x", VFIO_KEEPALIVE_ADD_REQUEST, NULL, 0),
	   -EINVAL, "add: memory that requests");
	is(ka_add(s, mem, VFIO_KEEPALIVE_MEMORY, "", 0, NULL, 0), -EINVAL, "add: no name");
	is(ka_add(s, mem, VFIO_KEEPALIVE_MEMORY, "a\nb", 0, NULL, 0),
	   -EINVAL, "add: name of two lines");
	is(ka_add(s, mem, VFIO_KEEPALIVE_MEMORY, "memory", 0, NULL, 0),
	   -EEXIST, "add: name twice");
	is(ka_add(s, mem, VFIO_KEEPALIVE_MEMORY, "b", 2, NULL, 0), -EINVAL, "add: unknown flag");
	close(mem);

	own = ka_get_fd(s, 1);
	event = dup(own);
	is(ka_add(s, own, VFIO_KEEPALIVE_EVENTFD, "c", 0, NULL, 0),
	   -EEXIST, "add: the same twice");
	is(ka_add(s, event, VFIO_KEEPALIVE_EVENTFD, "c", 0, NULL, 0),
	   -EEXIST, "add: its duplicate");
	is(ka_remove(s, 1), 0, "remove");
	is(ka_remove(s, 1), -ENOENT, "remove: twice");
	is(ka_get_fd(s, 1), -ENOENT, "get_fd: removed");
	is(ka_add(s2, event, VFIO_KEEPALIVE_EVENTFD, "c", 0, NULL, 0),
	   2, "add: what was removed");
	is(ka_get_fd(s, 77), -ENOENT, "get_fd: no such index");
	mem = ka_get_fd(s2, 0);
	check(fcntl(mem, F_GETFD) == FD_CLOEXEC, "get_fd: O_CLOEXEC");
	close(mem);
	close(own);
	close(event);
	close(p[1]);
	close(sv[0]);
	close(sv[1]);
	close(s);
	close(s2);
	is(ka_release(dev, t.id, 0), 0, "release an orphan");
	is(ka_release(dev, t2.id, 0), 0, "release another");
}

void test_states(void)
{
	static __u8 in[VFIO_KEEPALIVE_STATE_MAX + 1], out[VFIO_KEEPALIVE_STATE_MAX];
	struct vfio_keepalive_info info;
	struct ticket t;
	__u32 size, i;
	int s, mem;

	for (i = 0; i < sizeof(in); i++)
		in[i] = i * 7 + i / 251;
	s = session(LONG, &t);
	is(ka_set_state(s, VFIO_KEEPALIVE_SESSION, in, sizeof(in)),
	   -E2BIG, "state: 64 KiB and a byte");
	is(ka_set_state(s, VFIO_KEEPALIVE_SESSION, in, sizeof(in) - 1), 0, "state: 64 KiB");
	is(ka_set_state(s, 0, in, 100), 0, "state of an item");
	is(ka_set_state(s, 5, in, 100), -ENOENT, "state of no item");
	is(ka_set_state(s, 0, (void *)8, 100), -EFAULT, "state: bad address");
	size = 99;
	is(ka_get_state(s, 0, out, &size), -ENOSPC, "state: no room");
	is(size, 100, "state: how much there is");
	check(!ka_get_state(s, 0, out, &size) && size == 100 && !memcmp(in, out, 100),
	      "state of an item: the same bytes");
	size = 100;
	is(ka_get_state(s, 0, (void *)8, &size), -EFAULT, "state: bad address to read to");
	size = 0;
	is(ka_get_state(s, 1, NULL, &size), 0, "state: none");
	check(!ka_info(s, 0, 0, &info) && info.bytes == 65636 && info.state_size == 65536,
	      "their sum");
	mem = memfd_create("x", 0);
	is(ka_add(s, mem, VFIO_KEEPALIVE_MEMORY, "m", 0, in, sizeof(in)),
	   -E2BIG, "add with too much");
	is(ka_add(s, mem, VFIO_KEEPALIVE_MEMORY, "m", 0, (void *)8, 4),
	   -EFAULT, "add: bad address");
	is(ka_add(s, mem, VFIO_KEEPALIVE_MEMORY, "m", 0, in + 1, 4), 2, "add with a state");
	close(mem);
	close(s);
	s = ka_claim(dev, &t);
	size = sizeof(out);
	check(!ka_get_state(s, VFIO_KEEPALIVE_SESSION, out, &size) && size == sizeof(out) &&
	      !memcmp(in, out, size), "the session's after a claim: the same bytes");
	check(!ka_get_state(s, 2, out, &size) && size == 4 && !memcmp(in + 1, out, 4),
	      "an item's after a claim");
	is(ka_set_state(s, VFIO_KEEPALIVE_SESSION, NULL, 0), 0, "state: none any more");
	check(!ka_info(s, 0, 0, &info) && info.bytes == 104, "their sum then");
	ka_release(dev, t.id, VFIO_KEEPALIVE_RELEASE_FORCE);
	close(s);
}
