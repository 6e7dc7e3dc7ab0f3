// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-owner: whose a session is, when all VMMs of a host are one user's. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "owner.h"
#include "result.h"
#include "vfio.h"

static const char usage[] =
"usage: keepalive-owner [TEST]...\n"
"\n"
"Tests, as root, of what another process of the same user can do to a session, and of\n"
"VMMs that end at a bad moment; all, or those named:\n"
"  token watch confirm core share quota sizes work victim oom\n"
"\n"
"       keepalive-owner device BDF BDF\n"
"\n"
"The same with two devices that are vfio-pci's, each in a group of its own.\n"
"\n"
"       keepalive-owner as-user COMMAND...\n"
"\n"
"Runs COMMAND as a user without privilege.\n";

int dev;

/* A session with an eventfd in it, so that it can be an orphan. */
int session(struct ticket *ticket)
{
	int s = ka_create(dev, "owner", LONG, ticket), e = eventfd(0, EFD_CLOEXEC);

	if (s < 0 || e < 0 || ka_add(s, e, VFIO_KEEPALIVE_EVENTFD, "event", 0, NULL, 0))
		errx(1, "CREATE or ADD: %s", strerror(s < 0 ? -s : errno));
	close(e);
	return s;
}

/* What @fn returns in a process of its own. */
int in_child(int (*fn)(const void *arg), const void *arg)
{
	int p[2], r = -1;
	pid_t pid;

	if (pipe(p))
		err(1, "pipe");
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

void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s", path);
	close(fd);
}

/* What poll() says at once, or when @wait, once it says something. */
int polled(int fd, bool wait)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0)
		return -EBADF;
	return poll(&p, 1, wait ? -1 : 0) < 0 ? -errno : p.revents;
}

/* A user's VMM, which waits to be killed, or for a byte, and then runs @then. */
struct vmm vmm_start(void (*then)(void))
{
	int told[2], go[2];
	struct vmm v;

	if (pipe2(told, O_CLOEXEC) || pipe2(go, O_CLOEXEC))
		err(1, "pipe");
	v.pid = fork();
	if (!v.pid) {
		struct ticket t;
		char c;

		become(USER);
		session(&t);
		close(go[1]);
		if (write(told[1], &t, sizeof(t)) != sizeof(t))
			_exit(1);
		if (read(go[0], &c, 1) == 1 && then)
			then();
		_exit(0);
	}
	close(told[1]);
	close(go[0]);
	v.to = go[1];
	if (read(told[0], &v.ticket, sizeof(v.ticket)) != sizeof(v.ticket))
		errx(1, "a VMM did not start");
	close(told[0]);
	return v;
}

void vmm_kill(struct vmm *v)
{
	kill(v->pid, SIGKILL);
	waitpid(v->pid, NULL, 0);
	close(v->to);
}

static const struct test {
	const char *name;
	void (*run)(void);
} tests[] = {
	{ "token", test_token },
	{ "watch", test_watch },
	{ "confirm", test_confirm },
	{ "core", test_core },
	{ "share", test_share },
	{ "quota", test_quota },
	{ "sizes", test_sizes },
	{ "work", test_work },
	{ "victim", test_victim },
	{ "oom", test_oom },
};

#define TESTS (sizeof(tests) / sizeof(*tests))

int main(int argc, char **argv)
{
	unsigned int i;
	int a;

	if (argc > 1 && argv[1][0] == '-') {
		fputs(usage, stdout);
		return strcmp(argv[1], "-h") && strcmp(argv[1], "--help") ? 2 : 0;
	}
	if (argc == 2 && !strcmp(argv[1], "take-core"))
		return take_core();
	if (argc > 2 && !strcmp(argv[1], "as-user")) {
		become(USER);
		execvp(argv[2], argv + 2);
		err(1, "%s", argv[2]);
	}
	dev = ka_open();
	if (dev < 0)
		errx(1, "/dev/vfio-keepalive: %s", strerror(-dev));
	ksft_print_header();
	if (argc == 4 && !strcmp(argv[1], "device")) {
		test_device(argv[2], argv[3]);
		result_end();
	}
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
