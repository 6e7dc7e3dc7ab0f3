// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-owner: whose a session is, when all VMMs of a host are one user's. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
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

#define USER	1000
#define LONG	60000
#define CGROUPS	"/tmp/keepalive-cgroups"
#define STARTED	"/tmp/keepalive-dump-started"
#define GO_ON	"/tmp/keepalive-dump-go-on"

static int dev;

/* A session with an eventfd in it, so that it can be an orphan. */
static int session(struct ticket *ticket)
{
	int s = ka_create(dev, "owner", LONG, ticket), e = eventfd(0, EFD_CLOEXEC);

	if (s < 0 || e < 0 || ka_add(s, e, VFIO_KEEPALIVE_EVENTFD, "event", 0, NULL, 0))
		errx(1, "CREATE or ADD: %s", strerror(s < 0 ? -s : errno));
	close(e);
	return s;
}

/* What @fn returns in a process of its own. */
static int in_child(int (*fn)(const void *arg), const void *arg)
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

static void become(uid_t uid)
{
	if (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid))
		_exit(1);
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s", path);
	close(fd);
}

static void set_parameter(const char *name, unsigned int value)
{
	char path[96], text[16];

	snprintf(path, sizeof(path), "/sys/module/vfio_keepalive/parameters/%s", name);
	snprintf(text, sizeof(text), "%u", value);
	write_file(path, text);
}

/* What poll() says at once, or when @wait, once it says something. */
static int polled(int fd, bool wait)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0)
		return -EBADF;
	return poll(&p, 1, wait ? -1 : 0) < 0 ? -errno : p.revents;
}

/**
 * struct vmm - a process that has a session
 * @pid:	its number
 * @ticket:	of its session
 * @to:		a byte from here makes it go on
 */
struct vmm {
	pid_t pid;
	struct ticket ticket;
	int to;
};

/* A user's VMM, which waits to be killed, or for a byte, and then runs @then. */
static struct vmm vmm_start(void (*then)(void))
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

static void vmm_kill(struct vmm *v)
{
	kill(v->pid, SIGKILL);
	waitpid(v->pid, NULL, 0);
	close(v->to);
}

static int list_sessions(const void *arg)
{
	struct vfio_keepalive_info info;

	(void)arg;
	become(USER);
	return ka_info(dev, 0, VFIO_KEEPALIVE_NEXT, &info);
}

static int info_by_number(const void *arg)
{
	struct vfio_keepalive_info info;

	become(USER);
	return ka_info(dev, ((const struct ticket *)arg)->id, 0, &info);
}

static int item_by_number(const void *arg)
{
	struct vfio_keepalive_item item = {
		.argsz = sizeof(item), .session = ((const struct ticket *)arg)->id,
	};

	become(USER);
	return ioctl(dev, VFIO_KEEPALIVE_ITEM, &item) ? -errno : 0;
}

static int release_by_number(const void *arg)
{
	become(USER);
	return ka_release(dev, ((const struct ticket *)arg)->id, VFIO_KEEPALIVE_RELEASE_FORCE);
}

static int watch_as_user(const void *arg)
{
	become(USER);
	return ka_watch(dev, arg);
}

static int watch_as_another(const void *arg)
{
	become(USER + 1);
	return ka_watch(dev, arg);
}

/* With the token alone: sees it, is told that it is in use, ends it. */
static int end_with_token(const void *arg)
{
	struct vfio_keepalive_item item = { .argsz = sizeof(item) };
	const struct ticket *t = arg;
	struct vfio_keepalive_info info;
	int w;

	become(USER);
	w = ka_watch(dev, t);
	if (w < 0)
		return w;
	if (ka_info(w, 0, 0, &info) || info.session != t->id ||
	    info.state != VFIO_KEEPALIVE_ACTIVE)
		return 1;
	if (ioctl(w, VFIO_KEEPALIVE_ITEM, &item) || strcmp(item.name, "event"))
		return 2;
	if (ka_release(w, 0, 0) != -EBUSY)
		return 3;
	if (ka_get_fd(w, 0) != -ENOTTY || ka_confirm(w) != -ENOTTY)
		return 4;
	if (ka_release(w, 0, VFIO_KEEPALIVE_RELEASE_FORCE))
		return 5;
	return polled(w, false) == POLLHUP ? 0 : 6;
}

static void test_token(void)
{
	struct vmm v = vmm_start(NULL);
	struct vfio_keepalive_info info;
	struct ticket wrong = v.ticket, t;
	int s;

	is(in_child(list_sessions, NULL), -EPERM,
	   "a process of the same user cannot list sessions");
	is(in_child(info_by_number, &v.ticket), -EPERM, "nor see one by its number");
	is(in_child(item_by_number, &v.ticket), -EPERM, "nor what is in it");
	is(in_child(release_by_number, &v.ticket), -EPERM, "nor release it by force");
	is(ka_state(dev, v.ticket.id), VFIO_KEEPALIVE_ACTIVE, "its VMM still has it");
	wrong.token[0] ^= 1;
	is(in_child(watch_as_user, &wrong), -EACCES, "watch: wrong token");
	wrong.id = 0x7fffffff;
	is(in_child(watch_as_user, &wrong), -ENOENT, "watch: no such session");
	is(in_child(watch_as_another, &v.ticket), -EPERM, "watch: another user, its token");
	is(in_child(end_with_token, &v.ticket), 0,
	   "the token is enough to see it, and to end it by force");
	is(ka_state(dev, v.ticket.id), -ENOENT, "it is gone");
	vmm_kill(&v);

	s = session(&t);
	is(ka_set_state(s, VFIO_KEEPALIVE_SESSION, "state", 6), 0, "a state");
	is(polled(s, false), 0, "a session that is there does not hang up");
	is(ka_release(s, 0, 0), 0, "its descriptor is enough to end it");
	is(polled(s, false), POLLHUP, "then it hangs up");
	check(!ka_info(s, 0, 0, &info) && info.state == VFIO_KEEPALIVE_RELEASED &&
	      !info.state_size, "and is shown as released, without a state");
	is(ka_confirm(s), -ENODEV, "there is nothing to confirm");
	close(s);
}

static void test_watch(void)
{
	struct vmm v = vmm_start(NULL);
	struct ticket old = v.ticket, next = v.ticket;
	struct vfio_keepalive_info info;
	int w = ka_watch(dev, &v.ticket), s;

	check(w >= 0 && fcntl(w, F_GETFD) == FD_CLOEXEC, "watch: O_CLOEXEC");
	is(polled(w, false), 0, "watch: a VMM has it");
	kill(v.pid, SIGKILL);
	is(polled(w, true), POLLIN, "watch: it can be claimed once its VMM is dead");
	vmm_kill(&v);
	s = ka_claim(dev, &next);
	is(polled(w, false), 0, "watch: it is claimed");
	is(ka_confirm(s), 0, "the claim is confirmed");
	is(polled(w, false), POLLERR | POLLHUP, "watch: its token is not valid any more");
	is(ka_info(w, 0, 0, &info), -ESTALE, "watch: it sees nothing any more");
	is(ka_release(w, 0, VFIO_KEEPALIVE_RELEASE_FORCE), -ESTALE, "nor releases anything");
	close(w);
	is(ka_watch(dev, &old), -ESTALE, "watch: the token before");
	w = ka_watch(dev, &next);
	check(w >= 0, "watch: the new token");
	close(s);
	is(polled(w, true), POLLIN, "watch: it can be claimed again");
	is(ka_release(w, 0, 0), 0, "watch: it ends an orphan");
	is(polled(w, false), POLLHUP, "watch: it is released");
	close(w);
}

/* A claimer that is killed; returns its new token if @tell, as one that had stored it. */
static bool claimer_dies(struct ticket *ticket, bool tell)
{
	struct ticket next;
	int p[2];
	pid_t pid;
	bool told;

	if (pipe(p))
		err(1, "pipe");
	pid = fork();
	if (!pid) {
		next = *ticket;
		if (ka_claim(dev, &next) < 0 || write(p[1], &next, sizeof(next)) != sizeof(next))
			_exit(1);
		pause();
	}
	close(p[1]);
	told = read(p[0], &next, sizeof(next)) == sizeof(next);
	close(p[0]);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (tell)
		*ticket = next;
	return told;
}

static void test_confirm(void)
{
	struct ticket t, old, next;
	int s = session(&t);

	is(ka_confirm(s), 0, "confirm: nothing to be confirmed");
	close(s);
	check(claimer_dies(&t, false), "a claimer dies before it has stored its token");
	old = t;
	s = ka_claim(dev, &t);
	check(s >= 0, "claim: the token before goes on to be valid");
	next = t;
	is(ka_claim(dev, &old), -EBUSY, "claim: it is in use, the token before");
	is(ka_claim(dev, &next), -EBUSY, "claim: it is in use, the next token");
	close(s);
	old = t;
	check(claimer_dies(&t, true), "a claimer dies before it has confirmed");
	check(memcmp(old.token, t.token, sizeof(t.token)), "but it has stored its token");
	next = t;
	s = ka_claim(dev, &t);
	check(s >= 0, "claim: that token is valid too");
	close(s);
	is(ka_claim(dev, &old), -ESTALE, "claim: and replaces the one before");
	old = next;
	s = ka_claim(dev, &next);
	check(s >= 0, "claim: of the last claim, the token before");
	is(ka_claim(dev, &t), -EACCES, "claim: the token of a claim that another replaced");
	t = next;
	is(ka_confirm(s), 0, "confirm");
	is(ka_confirm(s), 0, "confirm: twice");
	close(s);
	is(ka_claim(dev, &old), -ESTALE, "claim: once confirmed, the token before is spent");
	is(ka_release(dev, t.id, 0), 0, "release");
}

static void dump_core(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_CORE, &unlimited);
	abort();
}

/* What the kernel writes a core to: it does not read on until it is told to. */
static int take_core(void)
{
	static char bytes[65536];
	int started = open(STARTED, O_WRONLY), go_on;
	char c = 0;

	if (started < 0 || write(started, &c, 1) != 1)
		return 1;
	go_on = open(GO_ON, O_RDONLY);
	if (go_on < 0 || read(go_on, &c, 1) != 1)
		return 1;
	while (read(0, bytes, sizeof(bytes)) > 0)
		;
	return 0;
}

static void test_core(void)
{
	char pattern[PATH_MAX + 16] = "|", self[PATH_MAX] = "", c = 0;
	int w, s, started, go_on, status;
	struct vmm v;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0 ||
	    mkfifo(STARTED, 0600) || mkfifo(GO_ON, 0600))
		err(1, "fifo");
	snprintf(pattern, sizeof(pattern), "|%s take-core", self);
	write_file("/proc/sys/kernel/core_pattern", pattern);
	write_file("/proc/sys/fs/suid_dumpable", "1");

	v = vmm_start(dump_core);
	w = ka_watch(dev, &v.ticket);
	if (write(v.to, &c, 1) != 1)
		err(1, "pipe");
	started = open(STARTED, O_RDONLY);
	check(started >= 0 && read(started, &c, 1) == 1, "a VMM dumps core");
	is(ka_state(dev, v.ticket.id), VFIO_KEEPALIVE_ACTIVE, "it still has its session");
	is(ka_claim(dev, &v.ticket), -EBUSY, "which cannot be claimed");
	is(polled(w, false), 0, "nor says that it can");
	go_on = open(GO_ON, O_WRONLY);
	if (write(go_on, &c, 1) != 1)
		err(1, GO_ON);
	is(polled(w, true), POLLIN, "it says so when the dump is done");
	waitpid(v.pid, &status, 0);
	check(WIFSIGNALED(status) && WCOREDUMP(status), "core dumped");
	s = ka_claim(dev, &v.ticket);
	check(s >= 0, "and is claimed");
	ka_release(s, 0, 0);
	close(s);
	close(w);
	close(v.to);
	close(started);
	close(go_on);
	unlink(STARTED);
	unlink(GO_ON);
	write_file("/proc/sys/kernel/core_pattern", "core");
}

static void test_share(void)
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

/* How many sessions a user can have, until an error other than EDQUOT */
static int count_sessions(const void *limit)
{
	int n, r = 0;

	become(USER);
	for (n = 0; n < *(const int *)limit; n++) {
		r = ka_create(dev, "many", LONG, NULL);
		if (r < 0)
			break;
	}
	return r < 0 && r != -EDQUOT ? r : n;
}

/**
 * struct confined - what is done in a memory cgroup
 * @cgroup:	its name
 * @fn:		what
 * @arg:	and with what
 */
struct confined {
	const char *cgroup;
	int (*fn)(const void *arg);
	const void *arg;
};

static int in_cgroup(const void *arg)
{
	const struct confined *c = arg;
	char path[128];

	snprintf(path, sizeof(path), CGROUPS "/%s/cgroup.procs", c->cgroup);
	write_file(path, "0");
	return c->fn(c->arg);
}

static int claim_it(const void *arg)
{
	struct ticket t = *(const struct ticket *)arg;
	int s = ka_claim(dev, &t);

	return s < 0 ? s : 0;
}

/* A session that this process has, and then a claim of another */
static int claim_one_more(const void *arg)
{
	int s = session(NULL), r = claim_it(arg);

	ka_release(s, 0, 0);
	return r;
}

static void test_quota(void)
{
	struct confined a = { "a", count_sessions, &(int){ 20 } }, b = a;
	struct ticket t;
	int s;

	is(in_child(count_sessions, &(int){ 100 }), 100,
	   "sessions of a user, none of whom is confined");
	mkdir(CGROUPS, 0700);
	if (mount("none", CGROUPS, "cgroup2", 0, NULL))
		err(1, "cgroup2");
	write_file(CGROUPS "/cgroup.subtree_control", "+memory");
	if (mkdir(CGROUPS "/a", 0700) || mkdir(CGROUPS "/b", 0700))
		err(1, CGROUPS);
	b.cgroup = "b";
	set_parameter("max_cgroup_sessions", 3);
	is(in_child(in_cgroup, &a), 3, "sessions of a cgroup");
	/* Those of the first are released after its process, in their own time. */
	is(in_child(in_cgroup, &b), 3, "and as many of another");
	set_parameter("max_cgroup_sessions", 1);
	close(session(&t));
	b.fn = claim_one_more;
	b.arg = &t;
	if (mkdir(CGROUPS "/c", 0700) || mkdir(CGROUPS "/d", 0700))
		err(1, CGROUPS);
	b.cgroup = "c";
	is(in_child(in_cgroup, &b), -EDQUOT, "claim: more than the claimer's cgroup may have");
	is(ka_state(dev, t.id), VFIO_KEEPALIVE_ORPHANED, "it stays an orphan");
	b.fn = claim_it;
	b.cgroup = "d";
	is(in_child(in_cgroup, &b), 0, "claim: in a cgroup that has none");
	set_parameter("max_cgroup_sessions", 64);
	s = ka_claim(dev, &t);
	check(s >= 0, "claim: back, unconfined");
	ka_release(s, 0, 0);
	close(s);
	is(umount(CGROUPS), 0, "umount");
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
static void test_work(void)
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

/* A session with so much memory in it */
static int session_with(size_t size, struct ticket *ticket)
{
	int s = session(ticket), memory = guest_memory(size);

	if (fallocate(memory, 0, 0, size) ||
	    ka_add(s, memory, VFIO_KEEPALIVE_MEMORY, "memory", 0, NULL, 0) != 1)
		err(1, "memory");
	close(memory);
	return s;
}

static char *touch(size_t size)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t i;

	for (i = 0; at != MAP_FAILED && i < size; i += 4096)
		at[i] = 1;
	return at == MAP_FAILED ? NULL : at;
}

/* Is it to be claimed no more? */
static bool ended(__u32 id)
{
	int state = ka_state(dev, id);

	return state == -ENOENT || state == VFIO_KEEPALIVE_RELEASED;
}

/* A VMM that wants more than its cgroup has is killed, with what it kept. */
static void test_victim(void)
{
	struct ticket t;
	int p[2], status;
	pid_t pid;

	mkdir(CGROUPS, 0700);
	if (mount("none", CGROUPS, "cgroup2", 0, NULL) || pipe(p))
		err(1, "cgroup2");
	write_file(CGROUPS "/cgroup.subtree_control", "+memory");
	if (mkdir(CGROUPS "/small", 0700))
		err(1, CGROUPS);
	write_file(CGROUPS "/small/memory.max", "64M");
	pid = fork();
	if (!pid) {
		write_file(CGROUPS "/small/cgroup.procs", "0");
		session_with(16 << 20, &t);
		if (write(p[1], &t, sizeof(t)) != sizeof(t))
			_exit(1);
		touch(96 << 20);
		_exit(0);
	}
	if (read(p[0], &t, sizeof(t)) != sizeof(t) || waitpid(pid, &status, 0) != pid)
		err(1, "the VMM");
	close(p[0]);
	close(p[1]);
	check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "a VMM is killed for memory");
	check(ended(t.id), "its session gives back what it was killed for");
	check(ka_wait_gone(dev, t.id, 60000) &&
	      host_log_has("of uid 0 is released, 16384 KiB: its VMM was killed for memory"),
	      "the log says so");
	umount(CGROUPS);
}

static long available_mib(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long n = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %ld", &n) == 1)
			break;
	if (f)
		fclose(f);
	return n / 1024;
}

/*
 * Memory of the host for a process which wants more than there is beside three sessions,
 * and has enough when the largest of them, an orphan, is gone.
 */
static void test_oom(void)
{
	enum { ROOM = 384, LARGE = 160, SMALL = 16, WANTED = ROOM - 2 * SMALL - LARGE / 2 };
	struct vfio_keepalive_info info;
	struct ticket large, small, held;
	int s, ballast, status, free_mib;
	pid_t pid;

	free_mib = available_mib();
	if (free_mib < ROOM) {
		result_skip("the host has too little memory\n");
		return;
	}
	ballast = guest_memory((size_t)(free_mib - ROOM) << 20);
	if (free_mib > ROOM && fallocate(ballast, 0, 0, (off_t)(free_mib - ROOM) << 20))
		err(1, "fallocate");
	close(session_with(SMALL << 20, &small));
	close(session_with(LARGE << 20, &large));
	s = session_with(SMALL << 20, &held);
	check(!ka_info(dev, large.id, 0, &info) && info.memory == LARGE << 20,
	      "the memory of an orphan is shown");
	pid = fork();
	if (!pid) {
		close(s);
		write_file("/proc/self/oom_score_adj", "1000");
		_exit(!touch((size_t)WANTED << 20));
	}
	waitpid(pid, &status, 0);
	check(WIFEXITED(status) && !WEXITSTATUS(status),
	      "a process that wants more than the host has is not killed");
	check(ended(large.id), "the largest orphan gave way");
	check(ka_wait_gone(dev, large.id, 60000) &&
	      host_log_has("of uid 0 is released, 163840 KiB: the host is out of memory"),
	      "the log says so");
	is(ka_state(dev, small.id), VFIO_KEEPALIVE_ORPHANED, "another did not have to");
	is(ka_state(dev, held.id), VFIO_KEEPALIVE_ACTIVE, "what a VMM has does not");
	ka_release(dev, small.id, 0);
	ka_release(s, 0, 0);
	close(s);
	close(ballast);
}

static void test_sizes(void)
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

/* A group or a device goes where its container is, and nowhere else. */
static void test_device(const char *one, const char *two)
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
