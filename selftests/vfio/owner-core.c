// SPDX-License-Identifier: GPL-2.0-only
/* keepalive-owner: a VMM that dumps core has its session until that is done. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "owner.h"
#include "result.h"
#include "vfio.h"

#define STARTED	"/tmp/keepalive-dump-started"
#define GO_ON	"/tmp/keepalive-dump-go-on"

static void dump_core(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_CORE, &unlimited);
	abort();
}

/* What the kernel writes a core to: it does not read on until it is told to. */
int take_core(void)
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

void test_core(void)
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
