// SPDX-License-Identifier: GPL-2.0-only
/* vmm-kick: KVM_RUN returns nothing to a VMM for a move of its VM, and nothing is lost. */
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/keyctl.h>
#include <linux/kvm_core.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "mini.h"
#include "vmm.h"

static const char usage[] =
"usage: vmm-kick INSTANCE OTHER\n"
"\n"
"A vCPU waits in KVM_RUN for an interrupt while its VM is moved and while work of the kernel's\n"
"waits for its thread. For good, both instances recover no huge pages: KVM of 6.12 has a thread for\n"
"that in the VMM, which is to have one only. TAP output.\n";

/* Of the process whose only thread is in KVM_RUN, and of its helper. */
struct shared {
	int	run_error;	/* errno of KVM_RUN */
	bool	returned;
	bool	signalled;	/* it was ended by a signal of the helper's */
	bool	hog;		/* CPU 0 is busy */
	int	error;		/* errno of what the helper did, or -1 */
	char	reason[KVM_CORE_REASON_LEN];
};

static struct shared *shared;
static struct mini vm;
static int control;

static void on_signal(int sig)
{
	(void)sig;
}

/* True when @pid waits in KVM_RUN. */
static bool waits_in_run(pid_t pid)
{
	unsigned long nr, fd, cmd;
	char path[64];
	bool is;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	f = fopen(path, "re");
	is = f && fscanf(f, "%lu %lx %lx", &nr, &fd, &cmd) == 3 && nr == SYS_ioctl &&
	     cmd == KVM_RUN;
	if (f)
		fclose(f);
	return is;
}

/* For @seconds at most. */
static bool comes(bool (*what)(pid_t pid), pid_t pid, unsigned int seconds)
{
	const __u64 until = now_ns() + seconds * 1000000000ull;

	while (!what(pid)) {
		if (now_ns() > until)
			return false;
		usleep(1000);
	}
	return true;
}

static bool has_returned(pid_t pid)
{
	(void)pid;
	return VMM_LOAD(shared->returned);
}

static void move_by_operator(void)
{
	struct kvm_core_move mv = {
		.fd = vm.fd, .deadline_us = 20000000, .timeout_ms = 60000,
	};

	snprintf(mv.instance, sizeof(mv.instance), "%s", mini_names[1]);
	shared->error = ioctl(control, KVM_CORE_MOVE, &mv) ? errno : 0;
	memcpy(shared->reason, mv.reason, sizeof(shared->reason));
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

/*
 * KVM_RUN of a vCPU that has halted, in the only thread of this process, and helper() in
 * another, which is told this process. A signal ends KVM_RUN if helper() returns true.
 */
static void run_beside(bool (*helper)(pid_t pid, int arg), int arg)
{
	static const __u8 code[] = { 0xf4, 0xeb, 0xfd };	/* hlt; jmp */
	const pid_t pid = getpid();
	pid_t child;

	memset(shared, 0, sizeof(*shared));
	shared->error = -1;
	mini_begin(&vm);
	mini_ioctl(&vm, vm.fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	mini_boot(&vm, code, sizeof(code));
	mini_lapic(&vm, 0);
	if (!vm.ok)
		ksft_exit_fail_msg("no VM: %s\n", vm.why);
	fflush(NULL);
	child = fork();
	if (!child) {
		if (!comes(waits_in_run, pid, 60))
			snprintf(shared->reason, sizeof(shared->reason), "KVM_RUN does not wait");
		else if (!helper(pid, arg))
			_exit(0);
		shared->signalled = !VMM_LOAD(shared->returned);
		while (!VMM_LOAD(shared->returned)) {
			kill(pid, SIGUSR1);
			usleep(10000);
		}
		_exit(0);
	}
	shared->run_error = ioctl(vm.vcpu[0], KVM_RUN, 0) ? errno : 0;
	VMM_STORE(shared->returned, true);
	waitpid(child, NULL, 0);
}

static bool moved(void)
{
	if (shared->error)
		ksft_print_msg("the move: %s (%s)\n", shared->reason, strerror(shared->error));
	return !shared->error;
}

static long session_keyring(void)
{
	return syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1);
}

/* That is work for the parent's thread without a signal: it is done when that leaves the guest. */
static bool give_keyring(pid_t pid, int arg)
{
	(void)arg;
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL) < 0 ||
	    syscall(SYS_keyctl, KEYCTL_SESSION_TO_PARENT)) {
		shared->error = errno;
		snprintf(shared->reason, sizeof(shared->reason), "no keyring for the parent");
		return true;
	}
	move_by_operator();
	/* Behind the move nothing else ends its KVM_RUN. */
	if (!shared->error)
		comes(has_returned, pid, 1);
	return true;
}

static void test_work(void)
{
	const long keyring = session_keyring();
	bool ok;

	run_beside(give_keyring, 0);
	ok = moved() && keyring > 0 && session_keyring() != keyring;
	if (!shared->signalled)
		ksft_print_msg("KVM_RUN: %s\n", strerror(shared->run_error));
	ksft_test_result(ok && shared->signalled && shared->run_error == EINTR,
			 "work that waits for the thread does not end KVM_RUN at a move\n");
	mini_end(&vm);
}

static bool signal_event(pid_t pid, int event)
{
	const __u64 one = 1;

	shared->error = write(event, &one, sizeof(one)) == sizeof(one) ? 0 : errno;
	return !comes(has_returned, pid, 60);
}

static void *hog(void *arg)
{
	struct sched_param fifo = { .sched_priority = 1 };

	(void)arg;
	pin(0);
	if (sched_setscheduler(0, SCHED_FIFO, &fifo))
		return (void *)-1l;
	while (VMM_LOAD(shared->hog))
		;
	return NULL;
}

static void *mover(void *arg)
{
	(void)arg;
	move_by_operator();
	return NULL;
}

/*
 * The thread has been kicked and not come out yet when the event comes: its CPU is another's
 * meanwhile, for less than the time that the kernel lets one have it (0.95 s of each).
 */
static bool signal_event_at_kick(pid_t pid, int event)
{
	pthread_t hogging, moving;
	const __u64 one = 1;
	void *failed;

	pin(1);
	/* What a move prepares may need every CPU. */
	inject_set("prepare", "hold", 1);
	pthread_create(&moving, NULL, mover, NULL);
	if (!inject_wait_held("prepare", 60))
		snprintf(shared->reason, sizeof(shared->reason), "no stage \"prepare\"");
	VMM_STORE(shared->hog, true);
	pthread_create(&hogging, NULL, hog, NULL);
	usleep(50000);
	inject_set("prepare", "hold", 0);
	usleep(500000);
	if (write(event, &one, sizeof(one)) != sizeof(one))
		snprintf(shared->reason, sizeof(shared->reason), "no event");
	usleep(10000);
	VMM_STORE(shared->hog, false);
	pthread_join(hogging, &failed);
	pthread_join(moving, NULL);
	if (failed)
		shared->error = EPERM;
	return !comes(has_returned, pid, 20);
}

/* An event that io_uring waits for ends KVM_RUN, so that the VMM looks for it. */
static void test_event(bool (*helper)(pid_t pid, int event), const char *what)
{
	int event = eventfd(0, EFD_CLOEXEC);
	struct io_uring ring;
	struct io_uring_sqe *sqe;
	struct io_uring_cqe *cqe;
	bool ok;
	int r;

	r = io_uring_queue_init(4, &ring, 0);
	if (r)
		ksft_exit_fail_msg("io_uring: %s\n", strerror(-r));
	sqe = io_uring_get_sqe(&ring);
	io_uring_prep_poll_add(sqe, event, POLLIN);
	ok = io_uring_submit(&ring) == 1;
	run_beside(helper, event);
	ok &= moved() && !io_uring_peek_cqe(&ring, &cqe) && cqe->res == POLLIN;
	if (shared->signalled || shared->run_error != EINTR) {
		ksft_print_msg("KVM_RUN, %s: %s\n", shared->signalled ? "by a signal" : "by itself",
			       strerror(shared->run_error));
		ok = false;
	}
	ksft_test_result(ok, "%s\n", what);
	io_uring_queue_exit(&ring);
	close(event);
	mini_end(&vm);
}

/* KVM of 6.1 has a kernel thread for that, which is in no process of ours. */
static void no_thread_of_kvm(const char *instance)
{
	char path[96], *p;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/module/%s/parameters/nx_huge_pages", instance);
	for (p = path; *p; p++)
		if (*p == '-')
			*p = '_';
	f = fopen(path, "we");
	if (!f)
		ksft_exit_fail_msg("%s: %s\n", path, strerror(errno));
	fputs("never", f);
	fclose(f);
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };

	args_two(argc, argv, usage, mini_names);
	no_thread_of_kvm(mini_names[0]);
	no_thread_of_kvm(mini_names[1]);
	ksft_print_header();
	ksft_set_plan(3);
	control = open("/dev/kvm-core", O_RDWR | O_CLOEXEC);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (control < 0 || shared == MAP_FAILED)
		ksft_exit_fail_msg("/dev/kvm-core: %s\n", strerror(errno));
	sigaction(SIGUSR1, &sa, NULL);
	test_work();
	test_event(signal_event, "an event of io_uring's ends KVM_RUN");
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2) {
		ksft_test_result_skip("one that comes with a move needs two CPUs\n");
	} else {
		pin(0);
		test_event(signal_event_at_kick,
			   "an event of io_uring's ends KVM_RUN, when it comes with a move too");
	}
	ksft_finished();
}
