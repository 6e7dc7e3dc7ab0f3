// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-owner: how many sessions a cgroup can have, and which end when memory is short. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "owner.h"
#include "result.h"
#include "vfio.h"

#define CGROUPS	"/tmp/keepalive-cgroups"

static void set_parameter(const char *name, unsigned int value)
{
	char path[96], text[16];

	snprintf(path, sizeof(path), "/sys/module/vfio_keepalive/parameters/%s", name);
	snprintf(text, sizeof(text), "%u", value);
	write_file(path, text);
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

void test_quota(void)
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
void test_victim(void)
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
void test_oom(void)
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
