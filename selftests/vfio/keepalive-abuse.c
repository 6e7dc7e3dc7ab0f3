// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-abuse: sessions without a device, and all that is to be refused. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <kselftest.h>
#include "result.h"
#include "vfio.h"

static const char usage[] =
"usage: keepalive-abuse [TEST]...\n"
"\n"
"Tests of /dev/vfio-keepalive that need no device, as root; all, or those named:\n"
"  interface refuse states claim races torn limit fork quota users release request\n"
"  compat\n"
"\n"
"       keepalive-abuse hold [FILE [COMMAND]]\n"
"\n"
"Leaves an orphan for 10 s and prints its number; writes its token to FILE. Calls\n"
"itself COMMAND.\n"
"\n"
"       keepalive-abuse bench\n"
"\n"
"Prints the nanoseconds of a claim, with the descriptors of 8 devices and 64 interrupts.\n"
"\n"
"       keepalive-abuse faults N\n"
"\n"
"Does all that allocates N times, when failslab is set up; prints how much failed.\n";

#define USER	1000
#define LONG	60000
#define CONTENDERS 4

static int dev;

static long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* A session with a memfd of a page and an eventfd in it: indices 0 and 1. */
static int session(__u32 limit_ms, struct ticket *ticket)
{
	int s = ka_create(dev, "test", limit_ms, ticket);
	int mem = memfd_create("guest", MFD_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);

	if (s < 0 || mem < 0 || event < 0 || ftruncate(mem, 4096) ||
	    ka_add(s, mem, VFIO_KEEPALIVE_MEMORY, "memory", 0, NULL, 0) != 0 ||
	    ka_add(s, event, VFIO_KEEPALIVE_EVENTFD, "event", 0, NULL, 0) != 1) {
		perror("keepalive-abuse");
		exit(1);
	}
	close(mem);
	close(event);
	return s;
}

/* What @fn returns in a process of its own. */
static int in_child(int (*fn)(void *arg), void *arg)
{
	int p[2], r = -1;
	pid_t pid;

	if (pipe(p))
		exit(1);
	pid = fork();
	if (!pid) {
		r = fn(arg);
		_exit(write(p[1], &r, sizeof(r)) != sizeof(r));
	}
	close(p[1]);
	if (read(p[0], &r, sizeof(r)) != sizeof(r))
		r = -ECHILD;
	close(p[0]);
	waitpid(pid, NULL, 0);
	return r;
}

static void become(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		_exit(1);
}

static int claim_here(void *arg)
{
	struct ticket t = *(struct ticket *)arg;

	return ka_claim(dev, &t);
}

static int claim_as_user(void *arg)
{
	become(USER);
	return claim_here(arg);
}

static int claim_in_namespace(void *arg)
{
	if (unshare(CLONE_NEWUSER))
		return -EOPNOTSUPP;
	return claim_here(arg);
}

static int open_as_user(void *arg)
{
	(void)arg;
	become(USER);
	return ka_open();
}

static int create_raw(struct vfio_keepalive_create *a)
{
	int r = ioctl(dev, VFIO_KEEPALIVE_CREATE, a);

	return r < 0 ? -errno : r;
}

static void test_interface(void)
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

static void test_refuse(void)
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

static void test_states(void)
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

static void test_claim(void)
{
	struct ticket t, old, wrong, user;
	struct vfio_keepalive_info info;
	__u64 count = 5;
	char text[5];
	int s, fd, r;

	s = session(LONG, &t);
	wrong = t;
	wrong.token[31] ^= 1;
	is(ka_claim(dev, &t), -EBUSY, "claim: its VMM has it");
	is(ka_claim(dev, &wrong), -EACCES, "claim: wrong token, its VMM has it");
	fd = ka_get_fd_by_name(s, "memory");
	check(pwrite(fd, "guest", 5, 0) == 5, "guest memory is written");
	close(fd);
	fd = ka_get_fd_by_name(s, "event");
	close(s);
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_ORPHANED, "an orphan");
	check(!ka_info(dev, t.id, 0, &info) && info.left_ms > LONG - 5000 && info.left_ms <= LONG,
	      "its time runs");
	check(write(fd, &count, 8) == 8, "interrupts come meanwhile");
	close(fd);
	is(ka_claim(dev, &wrong), -EACCES, "claim: wrong token");
	wrong = (struct ticket){ .id = t.id };
	is(ka_claim(dev, &wrong), -EACCES, "claim: token of zeros");
	wrong = t;
	wrong.id = 0x7fffffff;
	is(ka_claim(dev, &wrong), -ENOENT, "claim: no such session");
	is(in_child(claim_as_user, &t), -EPERM, "claim: another user");
	r = in_child(claim_in_namespace, &t);
	if (r == -EOPNOTSUPP)
		result_skip("the kernel has no user namespaces\n");
	else
		is(r, -EPERM, "claim: the same user of another namespace");
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_ORPHANED, "an orphan still");

	old = t;
	s = ka_claim(dev, &t);
	check(s >= 0, "claim");
	check(memcmp(old.token, t.token, 32), "claim: another token");
	is(ka_confirm(s), 0, "confirm");
	is(ka_claim(dev, &old), -ESTALE, "claim: twice");
	is(ka_claim(dev, &t), -EBUSY, "claim: the next token, too early");
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_CLAIMED, "claimed");
	fd = ka_get_fd_by_name(s, "memory");
	check(fd >= 0 && pread(fd, text, 5, 0) == 5 && !memcmp(text, "guest", 5),
	      "guest memory is the same");
	close(fd);
	fd = ka_get_fd_by_name(s, "event");
	check(fd >= 0 && read(fd, &count, 8) == 8 && count == 5, "no interrupt is lost");
	close(fd);
	is(ka_get_fd_by_name(s, "nothing"), -ENOENT, "an item that is not there");
	close(s);
	is(ka_claim(dev, &old), -ESTALE, "claim: an orphan again, the first token");
	s = ka_claim(dev, &t);
	check(s >= 0, "claim: the next token");
	check(!ka_info(s, 0, 0, &info) && info.claims == 2, "claims are counted");
	is(ka_release(dev, t.id, VFIO_KEEPALIVE_RELEASE_FORCE), 0, "release by force");
	is(ka_get_fd(s, 0), -ENODEV, "released: get_fd");
	is(ka_set_state(s, 0, "x", 1), -ENODEV, "released: set_state");
	is(ka_remove(s, 0), -ENODEV, "released: remove");
	fd = eventfd(0, 0);
	is(ka_add(s, fd, VFIO_KEEPALIVE_EVENTFD, "e", 0, NULL, 0), -ENODEV, "released: add");
	close(fd);
	is(ka_claim(dev, &t), -ENOENT, "released: claim");
	close(s);

	/* A session of a user becomes root's, who has CAP_SYS_ADMIN. */
	{
		int p[2];
		pid_t pid;

		if (pipe(p))
			exit(1);
		pid = fork();
		if (!pid) {
			become(USER);
			s = session(LONG, &user);
			_exit(s < 0 || write(p[1], &user, sizeof(user)) != sizeof(user));
		}
		waitpid(pid, NULL, 0);
		if (read(p[0], &user, sizeof(user)) != sizeof(user))
			exit(1);
		close(p[0]);
		close(p[1]);
	}
	check(!ka_info(dev, user.id, 0, &info) && info.uid == USER && !info.pid,
	      "the orphan of a user");
	s = ka_claim(dev, &user);
	check(s >= 0, "claim with CAP_SYS_ADMIN");
	check(!ka_info(dev, user.id, 0, &info) && info.uid == 0, "then it is root's");
	close(s);
	is(in_child(claim_as_user, &user), -EPERM, "and no more the user's");
	is(ka_release(dev, user.id, 0), 0, "release it");
	is(ka_release(dev, user.id, 0), -ENOENT, "release: twice");
}

/* Processes that claim at once: how many got it, and no other error than @lost. */
static int contend(const struct ticket *ticket, bool *odd)
{
	int go[2], result[2], i, r, won = 0;
	pid_t pids[CONTENDERS];

	if (pipe(go) || pipe(result))
		exit(1);
	for (i = 0; i < CONTENDERS; i++) {
		pids[i] = fork();
		if (pids[i])
			continue;
		close(go[1]);
		r = read(go[0], &r, 1);
		{
			struct ticket t = *ticket;

			r = ka_claim(dev, &t);
		}
		if (write(result[1], &r, sizeof(r)) != sizeof(r))
			_exit(1);
		/* Not an orphan again before all have tried. */
		pause();
	}
	close(go[0]);
	close(go[1]);
	for (i = 0; i < CONTENDERS; i++) {
		if (read(result[0], &r, sizeof(r)) != sizeof(r))
			exit(1);
		if (r >= 0)
			won++;
		else if (r != -EBUSY)
			*odd = true;
	}
	for (i = 0; i < CONTENDERS; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	close(result[0]);
	close(result[1]);
	return won;
}

static void test_races(void)
{
	int i, s, claimed = 0, expired = 0, ones = 0;
	bool odd = false, bad = false;
	struct ticket t;
	long until;
	int r;

	for (i = 0; i < 20; i++) {
		s = session(LONG, &t);
		close(s);
		ones += contend(&t, &odd) == 1;
		ka_release(dev, t.id, VFIO_KEEPALIVE_RELEASE_FORCE);
	}
	is(ones, 20, "four processes claim at once: one has it, 20 times");
	check(!odd, "the others are told that somebody has it");

	/* The end of the time and a claim, from before to after it. */
	for (i = 0; i < 400; i++) {
		s = session(8, &t);
		until = now_us() + 8000 + (i % 100 - 50) * 200;
		close(s);
		while (now_us() < until)
			;
		r = ka_claim(dev, &t);
		if (r >= 0) {
			claimed++;
			usleep(2000);
			/* Its time must be over no more, and all of it be there. */
			bad |= ka_state(r, 0) < 0;
			s = ka_get_fd(r, 0);
			bad |= s < 0;
			close(s);
			ka_release(dev, t.id, VFIO_KEEPALIVE_RELEASE_FORCE);
			close(r);
		} else {
			expired++;
			bad |= r != -ENOENT;
			bad |= !ka_wait_gone(dev, t.id, 1000);
		}
	}
	ksft_print_msg("claim and time limit: %d claimed, %d expired\n", claimed, expired);
	check(!bad, "claim and time limit: one of them happens");
	check(claimed && expired, "claim and time limit: both were seen");
}

/* What adds, signals and removes eventfds while the session is taken away. */
static void test_torn(void)
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

static void test_limit(void)
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

static void test_fork(void)
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

static void test_quota(void)
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

static void test_users(void)
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

static void test_release(void)
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

static void test_request(void)
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

static void test_compat(void)
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

static const struct test {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "interface", test_interface },
	{ "refuse", test_refuse },
	{ "states", test_states },
	{ "claim", test_claim },
	{ "races", test_races },
	{ "torn", test_torn },
	{ "limit", test_limit },
	{ "fork", test_fork },
	{ "quota", test_quota },
	{ "users", test_users },
	{ "release", test_release },
	{ "request", test_request },
	{ "compat", test_compat },
};

#define TESTS (sizeof(tests) / sizeof(*tests))

static int hold(const char *path, const char *comm)
{
	int s, fd = path ? creat(path, 0600) : -1;
	struct ticket t;

	if (comm && prctl(PR_SET_NAME, comm))
		return 1;
	s = session(10000, &t);
	if (path && write(fd, t.token, sizeof(t.token)) != sizeof(t.token))
		return 1;
	printf("%u\n", t.id);
	close(s);
	return 0;
}

/* Devices are memory here: to a session a descriptor is one like another. */
static int bench(void)
{
	enum { DEVICES = 8, INTERRUPTS = 64, LOOPS = 8 };
	int s, i, fd, loop;
	struct timespec a, b;
	struct ticket t;
	char name[16];

	s = ka_create(dev, "bench", LONG, &t);
	for (i = 0; i < DEVICES + INTERRUPTS; i++) {
		bool device = i < DEVICES;

		fd = device ? memfd_create("m", 0) : eventfd(0, 0);
		snprintf(name, sizeof(name), "%d", i);
		if (ka_add(s, fd, device ? VFIO_KEEPALIVE_MEMORY : VFIO_KEEPALIVE_EVENTFD, name, 0,
			   NULL, 0) != i)
			return 1;
		close(fd);
	}
	for (loop = 0; loop < LOOPS; loop++) {
		close(s);
		clock_gettime(CLOCK_MONOTONIC, &a);
		s = ka_claim(dev, &t);
		for (i = 0; i < DEVICES + INTERRUPTS; i++)
			fd = ka_get_fd(s, i);
		clock_gettime(CLOCK_MONOTONIC, &b);
		printf("claim %lld\n", (b.tv_sec - a.tv_sec) * 1000000000LL + b.tv_nsec -
		       a.tv_nsec);
		for (i = 0; i < DEVICES + INTERRUPTS; i++)
			close(fd--);
	}
	return 0;
}

/* Whatever fails, nothing may be left: the caller looks at that. */
static int faults(int n)
{
	static __u8 bytes[5000];
	int i, s, failed = 0;
	struct ticket t;

	/* From here on, so that the program itself could be started. */
	i = open("/proc/self/make-it-fail", O_WRONLY);
	if (i < 0 || write(i, "1", 1) != 1)
		return 1;
	close(i);
	for (i = 0; i < n; i++) {
		int mem = memfd_create("m", 0), e = eventfd(0, 0);
		__u32 size = sizeof(bytes);

		s = ka_create(dev, "fault", LONG, &t);
		if (s < 0) {
			failed++;
		} else {
			failed += ka_add(s, mem, VFIO_KEEPALIVE_MEMORY, "m", 0, bytes, 5000) < 0;
			failed += ka_add(s, e, VFIO_KEEPALIVE_EVENTFD, "e",
					 VFIO_KEEPALIVE_ADD_REQUEST, bytes, 5) < 0;
			failed += ka_set_state(s, VFIO_KEEPALIVE_SESSION, bytes, 5000) < 0;
			failed += ka_get_state(s, VFIO_KEEPALIVE_SESSION, bytes, &size) < 0;
			close(s);
			s = ka_claim(dev, &t);
			failed += s < 0;
			if (s >= 0) {
				failed += ka_confirm(s) < 0;
				close(s);
			}
			s = ka_watch(dev, &t);
			failed += s < 0;
			if (s >= 0)
				close(s);
			ka_release(dev, t.id, 0);
		}
		close(mem);
		close(e);
	}
	printf("%d failed\n", failed);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned int i;
	int a;

	dev = ka_open();
	if (argc > 1 && argv[1][0] == '-') {
		fputs(usage, stdout);
		return strcmp(argv[1], "-h") && strcmp(argv[1], "--help") ? 2 : 0;
	}
	if (dev < 0) {
		fprintf(stderr, "keepalive-abuse: /dev/vfio-keepalive: %s\n", strerror(-dev));
		return 1;
	}
	if (argc > 1 && !strcmp(argv[1], "hold"))
		return hold(argv[2], argc > 3 ? argv[3] : NULL);
	if (argc > 1 && !strcmp(argv[1], "bench"))
		return bench();
	if (argc > 2 && !strcmp(argv[1], "faults"))
		return faults(atoi(argv[2]));
	ksft_print_header();
	for (i = 0; i < TESTS; i++) {
		bool wanted = argc < 2;

		for (a = 1; a < argc; a++)
			wanted |= !strcmp(argv[a], tests[i].name);
		if (wanted) {
			ksft_print_msg("%s\n", tests[i].name);
			tests[i].run();
		}
	}
	result_end();
}
