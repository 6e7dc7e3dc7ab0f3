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
"to OTHER, is closed, and its VMM ends; and another guest wants its page when others wait\n"
"for all they can. TAP output.\n";

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

/*
 * Guests that go on to the next page when they are told that the last one is not there
 * (async page faults, as an exception), until KVM_RUN itself waits for one: more pages than
 * the kernel's own workqueues would fetch at a time, 256 for each CPU.
 */
#define GREEDY_VMS	5
#define GREEDY_CPUS	2
#define GREEDY_PAGES	0x40000		/* of vCPU 0; behind them those of vCPU 1 */
#define GREEDY_ROOM	0x50000		/* for each, more than KVM's 64 */
#define GREEDY_PD	0x2000
#define GREEDY_IDT	0x3000
#define GREEDY_APF	0x4000		/* and 0x5000 */
#define GREEDY_GDT	0x6000
#define GREEDY_PF	(MINI_CODE + 4)
#define MSR_ASYNC_PF_EN	0x4b564d02
/* Enabled, also in the kernel, as #PF and ready by an interrupt that is never taken */
#define ASYNC_PF_BITS	0xb

/* mov al, [esi]; jmp to itself; #PF: add esi, 4096; mov esp, ebx; sti; nop; jmp to the first */
static const __u8 greedy_code[] = {
	0x8a, 0x06, 0xeb, 0xfe,
	0x81, 0xc6, 0x00, 0x10, 0x00, 0x00, 0x89, 0xdc, 0xfb, 0x90, 0xeb, 0xf0,
};

struct greedy {
	struct mini	m;
	int		uffd;
	unsigned int	asked;
	struct greedy_cpu {
		struct greedy	*g;
		int		n;
		pthread_t	thread;
		pid_t		tid;
		bool		waits;	/* in KVM_RUN */
		bool		stop;
		int		error;
	} cpu[GREEDY_CPUS];
};

static void *greedy_run(void *arg)
{
	struct greedy_cpu *c = arg;

	VMM_STORE(c->tid, gettid());
	while (!VMM_LOAD(c->stop))
		if (ioctl(c->g->m.vcpu[c->n], KVM_RUN, 0) == 0 || errno != EINTR) {
			c->error = errno ? errno : EPROTO;
			break;
		}
	return NULL;
}

/* 32 bits, paged one to one, with an exception handler. */
static void greedy_cpu(struct greedy *g, int n)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} apf = {
		.head.nmsrs = 1,
		.e = { .index = MSR_ASYNC_PF_EN,
		       .data = (GREEDY_APF + n * PAGE) | ASYNC_PF_BITS },
	};
	struct kvm_regs regs = {
		.rip = MINI_CODE, .rflags = 0x202,
		.rsi = GREEDY_PAGES + n * GREEDY_ROOM,
		.rbx = 0xf00 - n * 0x100, .rsp = 0xf00 - n * 0x100,
	};
	struct kvm_segment flat = {
		.limit = 0xffffffff, .selector = 0x10, .type = 3, .present = 1, .s = 1,
		.db = 1, .g = 1,
	};
	struct mini *m = &g->m;
	struct kvm_sregs s;

	mini_ioctl(m, m->vcpu[n], KVM_GET_SREGS, &s, "KVM_GET_SREGS");
	s.ds = flat;
	s.es = flat;
	s.fs = flat;
	s.gs = flat;
	s.ss = flat;
	s.cs = flat;
	s.cs.selector = 8;
	s.cs.type = 11;
	s.gdt.base = GREEDY_GDT;
	s.gdt.limit = 23;
	s.idt.base = GREEDY_IDT;
	s.idt.limit = 32 * 8 - 1;
	s.cr0 |= 0x80000001;
	s.cr3 = GREEDY_PD;
	s.cr4 |= 0x10;
	mini_ioctl(m, m->vcpu[n], KVM_SET_SREGS, &s, "KVM_SET_SREGS");
	mini_ioctl(m, m->vcpu[n], KVM_SET_REGS, &regs, "KVM_SET_REGS");
	if (m->ok && ioctl(m->vcpu[n], KVM_SET_MSRS, &apf) != 1)
		mini_fail(m, "async page faults");
}

static void greedy_begin(struct greedy *g)
{
	struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_THREAD_ID };
	struct uffdio_register reg = {
		.mode = UFFDIO_REGISTER_MODE_MISSING,
		.range.len = GREEDY_CPUS * GREEDY_ROOM,
	};
	struct mini *m = &g->m;
	int n;

	g->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	mini_begin(m);
	mini_ioctl(m, m->fd, KVM_CREATE_IRQCHIP, NULL, "KVM_CREATE_IRQCHIP");
	mini_boot(m, greedy_code, sizeof(greedy_code));
	mini_vcpu(m, 1);
	*(__u64 *)(m->mem + GREEDY_GDT + 8) = 0x00cf9b000000ffff;
	*(__u64 *)(m->mem + GREEDY_GDT + 16) = 0x00cf93000000ffff;
	/* A page of 4 MiB; an interrupt gate. */
	*(__u32 *)(m->mem + GREEDY_PD) = 0xe3;
	*(__u64 *)(m->mem + GREEDY_IDT + 14 * 8) = 0x00008e0000080000 | GREEDY_PF;
	reg.range.start = (unsigned long)m->mem + GREEDY_PAGES;
	if (g->uffd < 0 || ioctl(g->uffd, UFFDIO_API, &api) ||
	    ioctl(g->uffd, UFFDIO_REGISTER, &reg))
		ksft_exit_fail_msg("userfaultfd: %s\n", strerror(errno));
	for (n = 0; n < GREEDY_CPUS; n++) {
		greedy_cpu(g, n);
		g->cpu[n].g = g;
		g->cpu[n].n = n;
	}
	if (!m->ok)
		ksft_exit_fail_msg("%s\n", m->why);
	for (n = 0; n < GREEDY_CPUS; n++)
		if (pthread_create(&g->cpu[n].thread, NULL, greedy_run, &g->cpu[n]))
			ksft_exit_fail_msg("no thread\n");
}

/* What came to be asked for; true if each vCPU waits for a page itself by now. */
static bool greedy_full(struct greedy *g)
{
	struct uffd_msg msg;
	bool full = true;
	int n;

	while (read(g->uffd, &msg, sizeof(msg)) == sizeof(msg)) {
		g->asked++;
		for (n = 0; n < GREEDY_CPUS; n++)
			if ((pid_t)msg.arg.pagefault.feat.ptid == VMM_LOAD(g->cpu[n].tid))
				g->cpu[n].waits = true;
	}
	for (n = 0; n < GREEDY_CPUS; n++)
		full &= g->cpu[n].waits;
	return full;
}

static void greedy_end(struct greedy *g)
{
	int n;

	for (n = 0; n < GREEDY_CPUS; n++) {
		struct greedy_cpu *c = &g->cpu[n];

		VMM_STORE(c->stop, true);
		g->m.run[n]->immediate_exit = 1;
		pthread_kill(c->thread, SIGUSR1);
		pthread_join(c->thread, NULL);
		if (c->error)
			ksft_print_msg("a guest that waits: %s\n", strerror(c->error));
	}
	mini_end(&g->m);
}

static void test_greedy(void)
{
	static struct greedy g[GREEDY_VMS];
	unsigned int i, full = 0, asked = 0, before = 0;
	struct late l;
	int ms, still;
	bool ok;

	begin(&l);
	for (i = 0; i < GREEDY_VMS; i++)
		greedy_begin(&g[i]);
	/* Workers come behind the vCPUs. */
	for (ms = 0, still = 0; ms < 3 * PATIENCE_MS && still < 1000; ms += 10) {
		usleep(10000);
		for (i = 0, full = 0, asked = 0; i < GREEDY_VMS; i++) {
			full += greedy_full(&g[i]);
			asked += g[i].asked;
		}
		still = full < GREEDY_VMS || asked > before ? 0 : still + 10;
		before = asked;
	}
	ksft_print_msg("%u of %d VMs wait for all they can, for %u pages\n", full, GREEDY_VMS,
		       asked);
	if (pthread_create(&l.runner, NULL, run, &l))
		ksft_exit_fail_msg("no thread\n");
	ok = awaited(l.uffd);
	if (!ok)
		ksft_print_msg("nobody asks for its page\n");
	ok &= full == GREEDY_VMS;
	/* Ends all waiting. */
	for (i = 0; i < GREEDY_VMS; i++)
		close(g[i].uffd);
	ok &= bring(l.uffd, l.m.mem);
	pthread_join(l.runner, NULL);
	ok &= !l.error && l.got == CONTENT;
	for (i = 0; i < GREEDY_VMS; i++) {
		greedy_end(&g[i]);
		ok &= !g[i].cpu[0].error && !g[i].cpu[1].error;
	}
	mini_end(&l.m);
	close(l.uffd);
	ksft_test_result(ok, "a guest gets its page while others wait for all they can\n");
}

int main(int argc, char **argv)
{
	struct sigaction sa = { .sa_handler = on_signal };

	args_two(argc, argv, usage, mini_names);
	sigaction(SIGUSR1, &sa, NULL);
	ksft_print_header();
	ksft_set_plan(4);
	test_move();
	test_close();
	test_exit();
	test_greedy();
	ksft_finished();
}
