// SPDX-License-Identifier: GPL-2.0-only
/* A session of vfio-keepalive that keeps a VM: what it costs who leaves it and who claims it. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../vfio/vfio.h"
#include "bench.h"

/* What the VMM that has died has left. */
struct left {
	struct ticket	ticket;
	__u64		took;
	bool		kept;
};

static int keep(const char *dev, const struct vm_shape *shape, struct left *left)
{
	char name[VFIO_KEEPALIVE_NAME_LEN];
	struct vm_report report = { 0 };
	struct vm_fds fds;
	struct vm *vm;
	unsigned int i;
	int session, r;
	__u64 t;

	if (vm_fds_make(shape, &fds))
		return 1;
	vm = vm_create(dev, shape, &fds, &report);
	if (!vm)
		return 1;
	t = now_ns();
	session = ka_create(ka_open(), "bench", 60000, &left->ticket);
	r = session < 0 ? session : 0;
	if (!r)
		r = ka_add(session, fds.mem, VFIO_KEEPALIVE_MEMORY, "memory", 0, NULL, 0);
	if (r >= 0)
		r = ka_add(session, vm->fd, VFIO_KEEPALIVE_VM, "vm", 0, NULL, 0);
	for (i = 0; r >= 0 && i < shape->cpus; i++) {
		snprintf(name, sizeof(name), "vcpu%u", i);
		r = ka_add(session, vm->vcpu[i].fd, VFIO_KEEPALIVE_VCPU, name, 0, NULL, 0);
	}
	left->took = now_ns() - t;
	if (r < 0)
		return vmm_error(-r, "session");
	left->kept = true;
	kill(getpid(), SIGKILL);
	return 1;
}

static int claim(const struct vm_shape *shape, struct left *left, __u64 *took)
{
	char name[VFIO_KEEPALIVE_NAME_LEN];
	int dev = ka_open(), session, r;
	__u64 t = now_ns();
	unsigned int i;

	session = ka_claim(dev, &left->ticket);
	r = session < 0 ? session : ka_confirm(session);
	if (!r)
		r = ka_get_fd_by_name(session, "memory");
	if (r >= 0)
		r = ka_get_fd_by_name(session, "vm");
	for (i = 0; r >= 0 && i < shape->cpus; i++) {
		snprintf(name, sizeof(name), "vcpu%u", i);
		r = ka_get_fd_by_name(session, name);
	}
	*took = now_ns() - t;
	if (r >= 0)
		r = ka_release(session, 0, 0);
	return r < 0 ? vmm_error(-r, "claim") : 0;
}

int bench_session(const char *dev, unsigned int cpus)
{
	struct vm_shape shape = { .guest = GUEST_bench, .cpus = cpus, .mem = 64 << 20 };
	struct left *left;
	char name[40];
	__u64 took = 0;
	int status;
	pid_t pid;

	fprintf(stderr, "vmm-bench: session, %u vCPUs\n", cpus);
	/* A token is random: a host that has just booted waits for that, once. */
	if (getrandom(name, sizeof(name), 0) < 0)
		return vmm_error(errno, "getrandom");
	left = mmap(NULL, sizeof(*left), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (left == MAP_FAILED)
		return vmm_error(errno, "memory");
	fflush(stdout);
	/* In a process of its own, as the claims of a host's descriptors end with it, too. */
	pid = fork();
	if (!pid)
		_exit(keep(dev, &shape, left));
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !left->kept)
		return vmm_error(0, "no session");
	if (claim(&shape, left, &took))
		return 1;
	snprintf(name, sizeof(name), "session_keep_%u", cpus);
	bench_print(name, left->took, 1);
	snprintf(name, sizeof(name), "session_claim_%u", cpus);
	bench_print(name, took, 1);
	munmap(left, sizeof(*left));
	return 0;
}
