// SPDX-License-Identifier: GPL-2.0-only
/*
 * A process that executes a program has one thread left. Those that the new one makes are
 * in the cgroup of that, and on its CPUs; what vCPUs and iothreads had of their own is gone.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpr.h"
#include "qemu.h"
#include "threads.h"

#define CGROUPS	"/sys/fs/cgroup"

/* The path of a thread's cgroup of version 2, to be freed; NULL if it is not one of the process. */
static char *cgroup_of(int pid, int tid)
{
	char name[64], *all, *s;

	snprintf(name, sizeof(name), "task/%d/cgroup", tid);
	all = qemu_file(pid, name, NULL);
	s = all ? strstr(all, "0::") : NULL;
	if (s)
		s[strcspn(s, "\n")] = '\0';
	s = s ? strdup(s + 3) : NULL;
	free(all);
	return s;
}

static bool add(struct threads *t, int pid, int tid, const char *kind, const char *name)
{
	struct thread *more = reallocarray(t->all, t->nr + 1, sizeof(*more)), *one;
	char text[TEXT_LEN(24)];

	if (!more)
		return false;
	t->all = more;
	one = &more[t->nr];
	memset(one, 0, sizeof(*one));
	snprintf(one->name, sizeof(one->name), "%s %s", kind,
		 text_escape(text, sizeof(text), name, true));
	one->tid = tid;
	one->cgroup = cgroup_of(pid, tid);
	/* QEMU may have said anything. */
	if (!one->cgroup || sched_getaffinity(tid, sizeof(one->cpus), one->cpus)) {
		free(one->cgroup);
		return true;
	}
	t->nr++;
	return true;
}

/**
 * threads_get - look where the threads of a QEMU run
 * @t: filled in; threads_free() in any case
 * @q: connection to it
 * @pid: its process
 *
 * Return: whether QEMU has told which they are; else the connection's error.
 */
bool threads_get(struct threads *t, struct qmp *q, int pid)
{
	json_t *cpus, *iothreads = NULL, *o;
	char number[24];
	bool ok = true;
	size_t i;

	t->all = NULL;
	t->nr = 0;
	cpus = qmp_call(q, "query-cpus-fast", NULL, ANSWER_MS);
	if (cpus)
		iothreads = qmp_call(q, "query-iothreads", NULL, ANSWER_MS);
	json_array_foreach(cpus, i, o) {
		snprintf(number, sizeof(number), "%lld",
			 (long long)json_integer_value(json_object_get(o, "cpu-index")));
		ok &= add(t, pid, json_integer_value(json_object_get(o, "thread-id")), "vCPU",
			  number);
	}
	json_array_foreach(iothreads, i, o)
		ok &= add(t, pid, json_integer_value(json_object_get(o, "thread-id")), "iothread",
			  json_string_value(json_object_get(o, "id")) ?: "");
	ok &= cpus && iothreads;
	json_decref(cpus);
	json_decref(iothreads);
	return ok;
}

static bool move(const struct thread *from, const struct thread *to)
{
	char path[512], tid[16];
	ssize_t n, len;
	int fd;

	if (strcmp(from->cgroup, to->cgroup)) {
		n = snprintf(path, sizeof(path), CGROUPS "%s/cgroup.threads", from->cgroup);
		fd = n < (ssize_t)sizeof(path) ? open(path, O_WRONLY | O_CLOEXEC) : -1;
		if (fd < 0)
			return false;
		len = snprintf(tid, sizeof(tid), "%d", to->tid);
		n = write(fd, tid, len);
		close(fd);
		if (n != len)
			return false;
	}
	return !memcmp(from->cpus, to->cpus, sizeof(from->cpus)) ||
	       !sched_setaffinity(to->tid, sizeof(from->cpus), from->cpus);
}

/**
 * threads_put - put the threads of a QEMU where those of the last one were
 * @t: of the last one
 * @q: connection to the new one
 * @pid: its process, which is the last one's
 *
 * Return: NULL, or why one is not there.
 */
const char *threads_put(const struct threads *t, struct qmp *q, int pid)
{
	static char why[640];
	struct threads now;
	bool ok = true;
	size_t i, j;

	if (!threads_get(&now, q, pid)) {
		snprintf(why, sizeof(why), "%s", q->error);
		ok = false;
	}
	for (i = 0; ok && i < t->nr; i++)
		for (j = 0; ok && j < now.nr; j++)
			if (!strcmp(t->all[i].name, now.all[j].name) &&
			    !move(&t->all[i], &now.all[j])) {
				snprintf(why, sizeof(why), "cgroup or CPUs of %s: %s",
					 now.all[j].name, strerror(errno));
				ok = false;
			}
	threads_free(&now);
	return ok ? NULL : why;
}

/**
 * threads_free - forget what threads_get() has found
 * @t: what it filled in
 */
void threads_free(struct threads *t)
{
	while (t->nr)
		free(t->all[--t->nr].cgroup);
	free(t->all);
	t->all = NULL;
}
