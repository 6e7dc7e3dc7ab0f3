// SPDX-License-Identifier: GPL-2.0-only
/* Dirty rings, and what other threads and other tenants do at the same time. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include <linux/dirty_ring.h>
#include "vmm-ring.h"

/* An ioctl in a thread of its own. */
struct call {
	int		fd;
	unsigned long	cmd;
	unsigned long	arg;
	pthread_t	thread;
	pid_t		tid;
	bool		done;
	int		error;
};

static void *call_main(void *arg)
{
	struct call *c = arg;

	VMM_STORE(c->tid, (pid_t)syscall(SYS_gettid));
	c->error = ioctl(c->fd, c->cmd, c->arg) < 0 ? errno : 0;
	VMM_STORE(c->done, true);
	return NULL;
}

static void call_start(struct call *c)
{
	if (pthread_create(&c->thread, NULL, call_main, c))
		exit(1);
	while (!VMM_LOAD(c->tid))
		usleep(100);
}

/* Waits in the kernel for something that no signal ends: a lock. */
static bool call_waits(const struct call *c)
{
	char path[64], stat[256], *state;
	int fd;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", c->tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (n <= 0)
		return false;
	stat[n] = '\0';
	state = strrchr(stat, ')');
	return state && state[2] == 'D';
}

/* A page that nobody ever gives: who touches it waits until this process ends. */
static int trap_open(void **page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range.len = PAGE, .mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		     -1, 0);
	reg.range.start = (unsigned long)*page;
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg))
		return -errno;
	return fd;
}

/*
 * A VMM of its own. After a byte from @go one thread is in @cmd and waits for user
 * memory, another takes the same ring. Tells how that ends by a byte, and stays so
 * until it is killed.
 */
static void other_tenant(const char *dev, unsigned long cmd, int go, int told)
{
	struct call setting = { .cmd = cmd }, take = { .cmd = DIRTY_RING_TAKE };
	struct vm *vm = vm_start(dev, 1, 1024, 2048);
	struct vm *twin = vm_twin(vm);
	struct pollfd fault = { .events = POLLIN };
	void *page = NULL;
	char result;

	/* A test that fails ends all the same. */
	alarm(30);
	if (read(go, &result, 1) != 1)
		_exit(1);
	fault.fd = trap_open(&page);
	if (fault.fd < 0)
		_exit(1);
	setting.fd = vm->vcpu[0].fd;
	setting.arg = (unsigned long)page;
	call_start(&setting);
	poll(&fault, 1, -1);
	take.fd = twin->vcpu[0].fd;
	take.arg = vm->vcpu[0].fd;
	call_start(&take);
	while (!VMM_LOAD(take.done) && !call_waits(&take))
		usleep(1000);
	result = !VMM_LOAD(take.done) ? 'w' : take.error ? 'e' : 't';
	if (write(told, &result, 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

static void test_tenant(const struct options *o, unsigned long cmd, const char *name)
{
	int go[2], told[2];
	char result = 0;
	struct vm *vm;
	pid_t pid;

	fflush(stdout);
	if (pipe2(go, O_CLOEXEC) || pipe2(told, O_CLOEXEC))
		exit(1);
	pid = fork();
	if (!pid) {
		other_tenant(o->dev[0], cmd, go[0], told[1]);
		_exit(1);
	}
	close(told[1]);
	vm = vm_start(o->dev[0], 2, 0, 256);
	tell(vm, DIRTY(0, DIRTY_RANDOM) | DIRTY(1, DIRTY_IDLE));
	vm_resume(vm);
	if (pid < 0 || write(go[1], "", 1) != 1 || read(told[0], &result, 1) != 1)
		exit(1);
	ksft_print_msg("%s waits for user memory:\n", name);
	check(result == 't', "its ring is taken all the same");
	check(!move_in_place(vm, o->dev[1]) && !waitpid(pid, NULL, WNOHANG),
	      "another process's VM is moved meanwhile");
	vm_pause(vm);
	vm_end(vm);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(go[0]);
	close(go[1]);
	close(told[0]);
}

int test_tenants(const struct options *o)
{
	plan(4);
	test_tenant(o, DIRTY_RING_NOTIFY, "DIRTY_RING_NOTIFY");
	test_tenant(o, DIRTY_RING_LIMIT, "DIRTY_RING_LIMIT");
	return 0;
}
