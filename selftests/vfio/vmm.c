// SPDX-License-Identifier: GPL-2.0-only
/* The process that is killed, and the guest memory that outlives it. */
#include <err.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vfio.h"

int guest_memory(size_t size)
{
	int fd = memfd_create("guest", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, size))
		err(1, "memfd");
	return fd;
}

void *guest_map(int memory, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);

	if (at == MAP_FAILED)
		err(1, "mmap");
	return at;
}

/* The end of a VMM: it tells how to claim its session, and is killed at once. */
void vmm_die(int out, const struct ticket *ticket)
{
	if (write(out, ticket, sizeof(*ticket)) != sizeof(*ticket))
		err(1, "pipe");
	kill(getpid(), SIGKILL);
}

/* Runs @vmm, which ends in vmm_die(), in a process of its own; true if that came to it. */
bool vmm_killed(void (*vmm)(int out, const void *arg), const void *arg, struct ticket *ticket)
{
	int p[2], status;
	bool told;
	pid_t pid;

	if (pipe(p))
		err(1, "pipe");
	pid = fork();
	if (!pid) {
		vmm(p[1], arg);
		_exit(1);
	}
	close(p[1]);
	told = read(p[0], ticket, sizeof(*ticket)) == sizeof(*ticket);
	close(p[0]);
	waitpid(pid, &status, 0);
	return told && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}
