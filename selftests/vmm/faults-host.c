// SPDX-License-Identifier: GPL-2.0-only
/* vmm-faults: the host has no memory for a move, or one CPU less. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>
#include <kselftest.h>
#include "../vfio/result.h"
#include "faults.h"

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

#define CPU1 "/sys/devices/system/cpu/cpu1/online"

struct hotplug {
	bool	stop;
	int	times;
	bool	failed;
};

static void *hotplugger(void *arg)
{
	struct hotplug *h = arg;

	while (!VMM_LOAD(h->stop)) {
		if (!write_file(CPU1, "0") || !write_file(CPU1, "1"))
			VMM_STORE(h->failed, true);
		VMM_STORE(h->times, h->times + 1);
	}
	return NULL;
}

/* Until a CPU has gone and come back often enough, and as often as not in a move. */
void test_cpus(void)
{
	struct hotplug h = { 0 };
	struct trial *t;
	pthread_t thread;
	int i, r = 0;
	bool ok;

	if (access(CPU1, W_OK)) {
		result_skip("a CPU goes and comes back during moves: there is one\n");
		return;
	}
	t = trial_run("ipi");
	pthread_create(&thread, NULL, hotplugger, &h);
	for (i = 0; !r && (i < 10 || VMM_LOAD(h.times) < 4) && i < 200; i++) {
		struct kvm_core_move mv = {
			.deadline_us = 20000000, .timeout_ms = 60000,
		};

		r = move_fd(t->vm->fd, i & 1 ? faults_from : faults_to, &mv);
		if (r)
			ksft_print_msg("move %d: error %d, %s\n", i, r, mv.reason);
	}
	VMM_STORE(h.stop, true);
	pthread_join(thread, NULL);
	ksft_print_msg("%d moves, %d times without CPU 1\n", i, h.times);
	ok = !r && !h.failed && h.times >= 4 && vms_on(i & 1 ? faults_to : faults_from) == 1;
	ok &= trial_end(t);
	result(ok, "a CPU goes and comes back during moves\n");
}

#define CGROUP "/tmp/cgroup"

/* Opened before: who has no memory opens nothing. */
static int limit_fd, high_fd, current_fd, events_fd;

static bool limit_from_now(int fd, long more)
{
	char text[24] = "";

	if (pread(current_fd, text, sizeof(text) - 1, 0) <= 0)
		return false;
	snprintf(text, sizeof(text), "%ld", atol(text) + more);
	return pwrite(fd, text, strlen(text), 0) > 0;
}

/*
 * So many bytes more than now; no limit if negative. Where memory.high is less than there
 * is in use, the kernel gives back what each CPU has charged in advance, which is as much
 * as a move needs; with memory.max it would kill for it.
 */
static bool limit_memory(long more)
{
	if (more < 0)
		return pwrite(limit_fd, "max", 3, 0) == 3;
	return limit_from_now(high_fd, -4096) && pwrite(high_fd, "max", 3, 0) == 3 &&
	       limit_from_now(limit_fd, more);
}

/* How often the OOM killer was called for the cgroup, or -1. */
static int oom_calls(void)
{
	char text[256] = "", *at;

	if (pread(events_fd, text, sizeof(text) - 1, 0) <= 0)
		return -1;
	at = strstr(text, "oom ");
	return at ? atoi(at + 4) : -1;
}

/*
 * A VMM whose cgroup has no memory for a second VM, and then ever more, until the
 * move succeeds: so an allocation fails at one place after the other. The guest
 * stands still meanwhile: KVM_RUN may need memory too.
 */
static bool moves_without_memory(struct trial *t)
{
	unsigned int places = 0;
	char at[128] = "";
	long room;
	int r = ENOMEM;

	for (room = 0; r == ENOMEM && room < 16 << 20; room += 8 << 10) {
		struct kvm_core_move mv = { .timeout_ms = 60000 };

		vm_pause(t->vm);
		if (!limit_memory(room))
			return false;
		r = move_fd(t->vm->fd, faults_to, &mv);
		if (!limit_memory(-1) || vm_resume(t->vm))
			return false;
		/* KVM's own ioctls allocate too, in the stages behind as well. */
		if (r && (mv.stage >= KVM_CORE_STAGE_COMMIT ||
			  !says(&mv, r, ENOMEM, mv.stage, "")))
			return false;
		if (r && (vms_on(faults_from) != 1 || vms_on(faults_to))) {
			ksft_print_msg("with %ld KiB: a VM is left\n", room >> 10);
			return false;
		}
		if (r && strcmp(at, mv.reason)) {
			snprintf(at, sizeof(at), "%.127s", mv.reason);
			ksft_print_msg("with %ld KiB: stage %u, %s\n", room >> 10,
				       mv.stage, at);
			places++;
		}
		if (r && watch_steps(&t->w, 1) != WATCH_OK)
			return false;
	}
	ksft_print_msg("moved with %ld KiB\n", room >> 10);
	return !r && places && vms_on(faults_to) == 1;
}

void test_memory(void)
{
	char pid[16];
	struct trial *t;
	bool ok;

	mkdir(CGROUP, 0755);
	if ((mount("cgroup", CGROUP, "cgroup2", 0, NULL) && errno != EBUSY) ||
	    !write_file(CGROUP "/cgroup.subtree_control", "+memory")) {
		result_skip("no memory for a move: no memory cgroup\n");
		return;
	}
	mkdir(CGROUP "/vmm", 0755);
	limit_fd = open(CGROUP "/vmm/memory.max", O_WRONLY | O_CLOEXEC);
	high_fd = open(CGROUP "/vmm/memory.high", O_WRONLY | O_CLOEXEC);
	events_fd = open(CGROUP "/vmm/memory.events", O_RDONLY | O_CLOEXEC);
	current_fd = open(CGROUP "/vmm/memory.current", O_RDONLY | O_CLOEXEC);
	snprintf(pid, sizeof(pid), "%d", getpid());
	t = trial_run("mem");
	ok = write_file(CGROUP "/vmm/cgroup.procs", pid) && moves_without_memory(t);
	limit_memory(-1);
	ksft_print_msg("the OOM killer was called %d times\n", oom_calls());
	ok &= !oom_calls();
	ok &= trial_end(t);
	ok &= write_file(CGROUP "/cgroup.procs", pid);
	close(limit_fd);
	close(high_fd);
	close(events_fd);
	close(current_fd);
	result(ok, "no memory for a move: ENOMEM, the VM runs on, none is killed\n");
}
