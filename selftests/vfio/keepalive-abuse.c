// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-abuse: sessions without a device, and all that is to be refused. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <kselftest.h>
#include "abuse.h"
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

int dev;

/* A session with a memfd of a page and an eventfd in it: indices 0 and 1. */
int session(__u32 limit_ms, struct ticket *ticket)
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
int in_child(int (*fn)(void *arg), void *arg)
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

void become(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		_exit(1);
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
