// SPDX-License-Identifier: GPL-2.0-only
/* vmm-late: guest memory that does not come, and who does not wait for it. */
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
#include "mini.h"
#include "vmm.h"

static const char usage[] =
"usage: vmm-late INSTANCE OTHER\n"
"\n"
"A guest on INSTANCE waits for a page that its VMM holds back. Meanwhile the VM is moved\n"
"to OTHER, is closed, and its VMM ends. TAP output.\n";

#define PAGE		4096ul
#define LATE		0x8000
#define CONTENT		0x5a
#define PORT		0x10
/* A busy host may need some of it, and three times of it for a process. */
#define PATIENCE_MS	20000

/* mov al, [LATE]; out PORT, al; jmp to the first */
static const __u8 code[] = { 0xa0, 0x00, 0x80, 0xe6, PORT, 0xeb, 0xf9 };

struct late {
	struct mini	m;
	int		uffd;
	pthread_t	runner;
	bool		stop;
	int		error;
	__u8		got;
};

static void on_signal(int sig)
{
	(void)sig;
}

/* Until the guest has its byte, or it is to stop. */
static void *run(void *arg)
{
	struct late *l = arg;
	struct kvm_run *r = l->m.run[0];

	while (ioctl(l->m.vcpu[0], KVM_RUN, 0)) {
		if (errno != EINTR)
			l->error = errno;
		if (errno != EINTR || VMM_LOAD(l->stop))
			return NULL;
	}
	if (r->exit_reason != KVM_EXIT_IO)
		l->error = EPROTO;
	else
		l->got = *((__u8 *)r + r->io.data_offset);
	return NULL;
}

/* The page comes, for all who wait. */
static bool bring(int uffd, char *mem)
{
	static __u8 page[PAGE] = { CONTENT };
	struct uffdio_copy copy = {
		.dst = (unsigned long)mem + LATE, .src = (unsigned long)page, .len = PAGE,
	};

	return !ioctl(uffd, UFFDIO_COPY, &copy);
}

/* The descriptor of the memory is the lowest: closed first, it ends all waiting. */
static void begin(struct late *l)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.mode = UFFDIO_REGISTER_MODE_MISSING, .range.len = PAGE,
	};

	memset(l, 0, sizeof(*l));
	l->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	mini_begin(&l->m);
	mini_ioctl(&l->m, l->m.fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	mini_boot(&l->m, code, sizeof(code));
	reg.range.start = (unsigned long)l->m.mem + LATE;
	if (l->uffd < 0 || ioctl(l->uffd, UFFDIO_API, &api) ||
	    ioctl(l->uffd, UFFDIO_REGISTER, &reg))
		ksft_exit_fail_msg("userfaultfd: %s\n", strerror(errno));
	if (!l->m.ok)
		ksft_exit_fail_msg("%s\n", l->m.why);
}

/* Somebody waits for the page. */
static bool awaited(int uffd)
{
	struct pollfd p = { .fd = uffd, .events = POLLIN };
	struct uffd_msg msg;

	return poll(&p, 1, PATIENCE_MS) == 1 && read(uffd, &msg, sizeof(msg)) == sizeof(msg);
}

static void run_end(struct late *l)
{
	VMM_STORE(l->stop, true);
	l->m.run[0]->immediate_exit = 1;
	pthread_kill(l->runner, SIGUSR1);
	pthread_join(l->runner, NULL);
}

static void run_begin(struct late *l)
{
	if (pthread_create(&l->runner, NULL, run, l))
		ksft_exit_fail_msg("no thread\n");
	if (!awaited(l->uffd))
		ksft_exit_fail_msg("the guest touches no page that is missing\n");
	/* A kernel thread waits for it by now, or KVM_RUN does. */
	usleep(100000);
}

/* What may take for ever, in a thread. */
struct job {
	void		(*fn)(struct late *l);
	struct late	*l;
	bool		ended;
};

static void *job_main(void *arg)
{
	struct job *j = arg;

	j->fn(j->l);
	VMM_STORE(j->ended, true);
	return NULL;
}

/* True if it came to an end while the page did not come. */
static bool ends(struct late *l, void (*fn)(struct late *l))
{
	struct job j = { .fn = fn, .l = l };
	pthread_t thread;
	int ms;
	bool ok;

	if (pthread_create(&thread, NULL, job_main, &j))
		ksft_exit_fail_msg("no thread\n");
	for (ms = 0; ms < PATIENCE_MS && !VMM_LOAD(j.ended); ms += 10)
		usleep(10000);
	ok = VMM_LOAD(j.ended);
	if (!ok)
		bring(l->uffd, l->m.mem);
	pthread_join(thread, NULL);
	return ok;
}

static void move_there(struct late *l)
{
	mini_move(&l->m, 1);
}

static void test_move(void)
{
	struct late l;
	bool ok, ended;

	begin(&l);
	run_begin(&l);
	ended = ends(&l, move_there);
	ok = bring(l.uffd, l.m.mem) && ended && l.m.ok;
	pthread_join(l.runner, NULL);
	if (!ended)
		ksft_print_msg("the move ended when the page had come\n");
	if (!l.m.ok)
		ksft_print_msg("%s\n", l.m.why);
	if (l.error || l.got != CONTENT)
		ksft_print_msg("the guest: %s, read 0x%x\n", strerror(l.error), l.got);
	ok &= !l.error && l.got == CONTENT;
	mini_end(&l.m);
	close(l.uffd);
	ksft_test_result(ok, "a move does not wait for a page that the guest waits for\n");
}

static void close_all(struct late *l)
{
	mini_end(&l->m);
}

static void test_close(void)
{
	struct late l;
	bool ok;

	begin(&l);
	run_begin(&l);
	run_end(&l);
	ok = ends(&l, close_all);
	close(l.uffd);
	ksft_test_result(ok, "a VM is closed while its guest waits for a page\n");
}

/*
 * Never returns. At its end the VM is closed before the userfaultfd, whose number is lower,
 * and nothing that it has mapped keeps the VM.
 */
static void die_waiting(void)
{
	struct late l;

	begin(&l);
	run_begin(&l);
	run_end(&l);
	munmap(l.m.run[0], l.m.run_size);
	_exit(0);
}

static void test_exit(void)
{
	bool ok = false;
	int ms, status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid)
		die_waiting();
	for (ms = 0; ms < 3 * PATIENCE_MS && !ok; ms += 10) {
		ok = waitpid(pid, &status, WNOHANG) == pid;
		usleep(10000);
	}
	if (ok && status)
		ksft_print_msg("status 0x%x\n", status);
	ksft_test_result(ok && !status, "a VMM ends while its guest waits for a page\n");
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };

	args_two(argc, argv, usage, mini_names);
	sigaction(SIGUSR1, &sa, NULL);
	ksft_print_header();
	ksft_set_plan(3);
	test_move();
	test_close();
	test_exit();
	ksft_finished();
}
