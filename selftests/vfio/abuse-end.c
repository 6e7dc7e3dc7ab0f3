// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-abuse: how a session ends: released, closed, out of time, or asked for. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "abuse.h"
#include "result.h"
#include "vfio.h"

/* What adds, signals and removes eventfds while the session is taken away. */
void test_torn(void)
{
	bool ok = true;
	struct ticket t;
	__u64 one = 1;
	int i, r, s, e;
	pid_t pid;

	for (i = 0; i < 100; i++) {
		s = session(LONG, &t);
		e = eventfd(0, EFD_NONBLOCK);
		pid = fork();
		if (!pid) {
			do {
				r = ka_add(s, e, VFIO_KEEPALIVE_EVENTFD, "r",
					   VFIO_KEEPALIVE_ADD_REQUEST, NULL, 0);
				if (write(e, &one, 8) != 8)
					_exit(1);
				if (r >= 0)
					ka_remove(s, r);
			} while (r != -ENODEV);
			_exit(0);
		}
		usleep(i * 50);
		ok &= !ka_release(dev, t.id, VFIO_KEEPALIVE_RELEASE_FORCE);
		waitpid(pid, &r, 0);
		ok &= !r;
		ok &= ka_state(dev, t.id) == -ENOENT;
		close(e);
		close(s);
	}
	check(ok, "sessions are released while eventfds come, speak and go, 100 times");
}

static long shmem_kib(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long n = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Shmem: %ld", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n;
}

void test_limit(void)
{
	long before = shmem_kib(), held;
	struct ticket t;
	int s, mem;

	s = ka_create(dev, "limit", 300, &t);
	mem = memfd_create("big", 0);
	if (ftruncate(mem, 32 << 20) || fallocate(mem, 0, 0, 32 << 20))
		exit(1);
	is(ka_add(s, mem, VFIO_KEEPALIVE_MEMORY, "m", 0, NULL, 0),
	   0, "32 MiB of memory in a session");
	close(mem);
	close(s);
	held = shmem_kib();
	check(held >= before + 32000, "they are there with the orphan");
	check(ka_wait_gone(dev, t.id, 3000), "its time is over");
	check(shmem_kib() < before + 1000, "they are free");
	is(ka_claim(dev, &t), -ENOENT, "claim: too late");
}

static int wait_byte(void *arg)
{
	char c;

	return read(*(int *)arg, &c, 1) == 1 ? 0 : -EPIPE;
}

void test_fork(void)
{
	struct ticket t;
	int s, p[2];
	pid_t pid;

	if (pipe(p))
		exit(1);
	s = session(LONG, &t);
	pid = fork();
	if (!pid)
		_exit(wait_byte(&p[0]));
	close(s);
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_ACTIVE, "fork: the child has the session");
	is(ka_claim(dev, &t), -EBUSY, "fork: claim");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_ORPHANED, "fork: the child was killed");
	is(ka_release(dev, t.id, 0), 0, "fork: release");

	/* A descriptor that is in no process, but under way. */
	{
		char control[CMSG_SPACE(sizeof(int))] = { 0 };
		struct iovec io = { .iov_base = "x", .iov_len = 1 };
		struct msghdr m = {
			.msg_iov = &io, .msg_iovlen = 1,
			.msg_control = control, .msg_controllen = sizeof(control),
		};
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		int sv[2];

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv)) {
			result_skip("the kernel has no sockets\n");
			goto out;
		}
		s = session(LONG, &t);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &s, sizeof(int));
		if (sendmsg(sv[0], &m, 0) != 1)
			exit(1);
		close(s);
		is(ka_state(dev, t.id), VFIO_KEEPALIVE_ACTIVE, "sent and not received: active");
		close(sv[0]);
		close(sv[1]);
		usleep(100000);
		is(ka_state(dev, t.id), VFIO_KEEPALIVE_ORPHANED,
		   "the socket is closed: an orphan");
		ka_release(dev, t.id, 0);
	}
out:
	close(p[0]);
	close(p[1]);
}

void test_release(void)
{
	struct ticket t;
	__u64 one = 1;
	int s, fd;

	s = session(LONG, &t);
	is(ka_release(dev, t.id, 0), -EBUSY, "release: its VMM has it");
	is(ka_release(dev, t.id, 2), -EINVAL, "release: unknown flag");
	fd = ka_get_fd(s, 1);
	is(ka_release(dev, t.id, VFIO_KEEPALIVE_RELEASE_FORCE), 0, "release: by force");
	check(write(fd, &one, 8) == 8, "what the VMM has it keeps");
	is(ka_release(dev, t.id, 0), -ENOENT, "release: no such session");
	close(fd);
	close(s);
}

void test_request(void)
{
	struct ticket t;
	__u64 one = 1;
	int s, e;
	bool gone;

	s = session(LONG, &t);
	e = eventfd(0, EFD_NONBLOCK);
	is(ka_add(s, e, VFIO_KEEPALIVE_EVENTFD, "request", VFIO_KEEPALIVE_ADD_REQUEST, NULL, 0), 2,
	   "an eventfd that wants the device back");
	check(write(e, &one, 8) == 8, "it is signalled");
	usleep(50000);
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_ACTIVE, "it is its VMM that has to see to it");
	check(read(e, &one, 8) == 8, "which it does");
	close(s);
	usleep(50000);
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_ORPHANED, "the orphan stays");
	gone = write(e, &one, 8) == 8 && ka_wait_gone(dev, t.id, 1000);
	check(gone, "until it is signalled again");

	s = session(LONG, &t);
	is(ka_add(s, e, VFIO_KEEPALIVE_EVENTFD, "request", VFIO_KEEPALIVE_ADD_REQUEST, NULL, 0), 2,
	   "one that is signalled already");
	close(s);
	check(ka_wait_gone(dev, t.id, 1000), "the orphan goes at once");

	s = session(LONG, &t);
	if (read(e, &one, 8) != 8)
		exit(1);
	ka_add(s, e, VFIO_KEEPALIVE_EVENTFD, "request", VFIO_KEEPALIVE_ADD_REQUEST, NULL, 0);
	is(ka_remove(s, 2), 0, "one that is removed");
	close(s);
	check(write(e, &one, 8) == 8, "is signalled");
	usleep(50000);
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_ORPHANED, "the orphan stays");
	close(e);
	ka_release(dev, t.id, 0);
}
