// SPDX-License-Identifier: GPL-2.0-only
/* vmm-hostile: VMMs that call everything with anything; the host stays as it was. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <grp.h>
#include <linux/kvm.h>
#include <linux/vfio_keepalive.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <kselftest.h>
#include "vmm.h"
#include "hostile.h"

static const char usage[] =
"usage: vmm-hostile [-s SEED] [-n CALLS] [-v] INSTANCE OTHER [MORE]\n"
"\n"
"Processes of threads on the instances call all ioctls of KVM, kvm-core, dirty-ring and\n"
"vfio-keepalive with legal, random and changing arguments, close, exchange, pass and map\n"
"descriptors, fork, execute, are stopped and killed, while an operator moves the VMs.\n"
"One process is root. In the end nothing of it may be left. TAP output.\n"
"\n"
"  -s SEED   of what each thread does; default 1\n"
"  -n CALLS  that are made at least; default 20000\n"
"  -b        for Bochs: no guest runs for long with interrupts off\n"
"  -v        say of each process how it ended, and where its threads' sequences did\n";

#define TICK_US		10000
#define PATIENCE_RUN	2		/* ticks until a KVM_RUN gets a signal */
#define PATIENCE	50		/* until whatever else gets one */
#define STUCK		3000		/* ticks until a process without a call is killed */
#define DYING		30000		/* ticks that it may take then */
#define PROGRESS	60		/* seconds between two lines */
#define UNFIT		3		/* exit status */
#define NOBODY		65534
#define FILES_MORE	128		/* the kernel's count is a rough one */

static __u64 mix(__u64 seed, unsigned int a, unsigned int b, unsigned int c)
{
	struct rng r = { seed ^ (__u64)a << 48 ^ (__u64)b << 16 ^ c };

	return rnd64(&r);
}

static void ignore(int sig)
{
	(void)sig;
}

static void end_process(struct worker *w)
{
	switch (w->end_how) {
	case 0:
		kill(getpid(), SIGKILL);
		break;
	case 1:
		execl("/proc/self/exe", "vmm-hostile", "--nothing", NULL);
		break;
	default:
		break;
	}
	_exit(0);
}

static void *run_thread(void *arg)
{
	struct thread *t = arg;

	/* While a thread executes a program, the process gets no other thread (EAGAIN). */
	pthread_barrier_wait(&t->w->all);
	while (t->step < STEPS) {
		if (!t->id && t->step == t->w->end_step)
			end_process(t->w);
		step(t);
		VMM_STORE(t->step, t->step + 1);
	}
	VMM_STORE(t->ended, true);
	return NULL;
}

/* A thread that has been in one step for long gets a signal, whatever it waits for. */
static void watch_threads(struct worker *w)
{
	__u64 seen[THREADS] = { 0 };
	unsigned int same[THREADS] = { 0 }, i, running;

	do {
		usleep(TICK_US);
		running = 0;
		for (i = 0; i < THREADS; i++) {
			__u64 now = VMM_LOAD(w->board->calls[w->id][i]) + VMM_LOAD(w->t[i].step);

			if (VMM_LOAD(w->t[i].ended))
				continue;
			running++;
			same[i] = now == seen[i] ? same[i] + 1 : 0;
			seen[i] = now;
			if (same[i] >= PATIENCE ||
			    (same[i] >= PATIENCE_RUN &&
			     VMM_LOAD(w->board->last[w->id][i]) == KVM_RUN))
				pthread_kill(w->t[i].thread, SIGUSR1);
		}
	} while (running);
}

/* It is no VMM's fault: without memory, say. The whole run ends with that. */
static void unfit_worker(const char *what, int error)
{
	fprintf(stderr, "vmm-hostile: %s: %s\n", what, strerror(error));
	_exit(UNFIT);
}

static void drop_root(const struct worker *w)
{
	struct stat st;

	if (stat(w->nodes[0], &st) || setgroups(0, NULL) || setgid(st.st_gid) || setuid(NOBODY))
		unfit_worker("another user", errno);
}

static void worker_run(struct worker *w)
{
	struct sigaction usr = { .sa_handler = ignore };
	struct sigaction fault = { .sa_handler = step_fault };
	const struct rlimit files = { 512, 512 }, core = { 0, 0 };
	unsigned int i;
	int r;

	setrlimit(RLIMIT_NOFILE, &files);
	setrlimit(RLIMIT_CORE, &core);
	sigaction(SIGUSR1, &usr, NULL);
	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (w->id)
		drop_root(w);
	r = args_open(w) ?: args_serve(w);
	if (r)
		unfit_worker("memory of arguments", -r);
	pthread_barrier_init(&w->all, NULL, THREADS);
	for (i = 0; i < THREADS; i++) {
		struct thread *t = &w->t[i];

		t->w = w;
		t->id = i;
		t->rng.s = mix(w->seed, w->id, w->round, i);
	}
	for (i = 0; i < THREADS; i++) {
		r = pthread_create(&w->t[i].thread, NULL, run_thread, &w->t[i]);
		if (r)
			unfit_worker("thread", r);
	}
	watch_threads(w);
	if (w->verbose)
		for (i = 0; i < THREADS; i++)
			printf("# process %u round %u thread %u ended at %016llx\n",
			       w->id, w->round, i, w->t[i].rng.s);
	fflush(stdout);
	_exit(0);
}

static pid_t worker_start(const struct worker *like, unsigned int id, unsigned int round)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct worker *w = calloc(1, sizeof(*w));
		struct rng r;

		*w = *like;
		w->id = id;
		w->round = round;
		r.s = mix(w->seed, id, round, 99);
		w->end_how = rnd(&r, 4);
		w->end_step = rnd(&r, 2) ? rnd(&r, STEPS) : STEPS;
		worker_run(w);
	}
	if (pid < 0)
		ksft_exit_fail_msg("fork: %s\n", strerror(errno));
	return pid;
}

static __u64 sum(__u64 counts[WORKERS][THREADS], int worker)
{
	__u64 all = 0;
	int w, i;

	for (w = 0; w < WORKERS; w++)
		for (i = 0; (worker < 0 || w == worker) && i < THREADS; i++)
			all += VMM_LOAD(counts[w][i]);
	return all;
}

static unsigned int stuck, unfit;
static bool undying;

/* True when it has ended; what it was told by a signal says nothing. */
static bool reap(pid_t pid, unsigned int id, unsigned int round, bool tell)
{
	int status;

	if (waitpid(pid, &status, WNOHANG) != pid)
		return false;
	if (tell)
		ksft_print_msg("process %u round %u ended with status %#x\n", id, round, status);
	if (WIFEXITED(status) && WEXITSTATUS(status) == UNFIT)
		unfit++;
	return true;
}

/* On a slow host the operator may need longer to find a VM that can be moved. */
static bool enough(struct board *b, __u64 calls)
{
	const __u64 made = sum(b->calls, -1);

	return made >= calls && ((b->runs && VMM_LOAD(b->operated)) || made >= 10 * calls);
}

static void run(struct worker *like, __u64 calls)
{
	struct {
		pid_t		pid;
		unsigned int	round;
		__u64		seen;
		unsigned int	same;
		unsigned int	stopped;
	} p[WORKERS] = { 0 };
	struct board *b = like->board;
	struct rng r = { mix(like->seed, 77, 0, 0) };
	time_t tell = time(NULL) + PROGRESS;
	unsigned int i, live;

	do {
		live = 0;
		for (i = 0; i < WORKERS; i++) {
			__u64 now = sum(b->calls, i);

			if (p[i].pid && reap(p[i].pid, i, p[i].round, like->verbose)) {
				p[i].pid = 0;
				p[i].round++;
			}
			if (!p[i].pid) {
				if (enough(b, calls) || unfit || undying)
					continue;
				p[i].pid = worker_start(like, i, p[i].round);
				p[i].same = 0;
				p[i].stopped = 0;
			}
			live++;
			p[i].same = now == p[i].seen ? p[i].same + 1 : 0;
			p[i].seen = now;
			if (p[i].same == STUCK) {
				stuck++;
				ksft_print_msg("%u/%u is killed; last ioctls %llx %llx %llx\n",
					       i, p[i].round, b->last[i][0], b->last[i][1],
					       b->last[i][2]);
				kill(p[i].pid, SIGKILL);
			}
			if (p[i].same == STUCK + DYING) {
				undying = true;
				live--;
				ksft_print_msg("process %u round %u does not end\n", i, p[i].round);
			}
			if (p[i].stopped) {
				if (!--p[i].stopped)
					kill(p[i].pid, SIGCONT);
			} else if (one_in(&r, 60)) {
				kill(p[i].pid, SIGSTOP);
				p[i].stopped = 1 + rnd(&r, 10);
			} else if (one_in(&r, 500)) {
				kill(p[i].pid, SIGKILL);
			}
		}
		if (time(NULL) >= tell) {
			tell = time(NULL) + PROGRESS;
			ksft_print_msg("%llu calls of %llu\n", sum(b->calls, -1), calls);
			fflush(stdout);
		}
		usleep(TICK_US);
	} while (live && !undying);
}

/* Orphans have time; the operator need not wait. How many are left. */
static unsigned int release_sessions(void)
{
	struct vfio_keepalive_info info = { 0 };
	struct vfio_keepalive_release rel;
	int fd = open("/dev/vfio-keepalive", O_RDWR | O_CLOEXEC);
	unsigned int n = 0;

	for (;;) {
		info.argsz = sizeof(info);
		info.flags = VFIO_KEEPALIVE_NEXT;
		if (fd < 0 || ioctl(fd, VFIO_KEEPALIVE_INFO, &info) < 0)
			break;
		rel = (struct vfio_keepalive_release){
			.argsz = sizeof(rel), .flags = VFIO_KEEPALIVE_RELEASE_FORCE,
			.session = info.session++,
		};
		ioctl(fd, VFIO_KEEPALIVE_RELEASE, &rel);
		n++;
	}
	if (fd >= 0)
		close(fd);
	return n;
}

/* The last files go when the host gets round to it. */
static void check_left(long files)
{
	unsigned int i, sessions = 0, vms = 0;
	long more = 0;

	for (i = 0; i < 1200; i++) {
		sessions = release_sessions();
		vms = left_vms();
		more = left_files() - files;
		if (!sessions && !vms && more <= FILES_MORE)
			break;
		usleep(50000);
	}
	if (vms || sessions || more > FILES_MORE)
		ksft_print_msg("%u VMs, %u sessions, %ld files are left\n", vms, sessions, more);
	ksft_test_result(!vms, "no VM is left\n");
	ksft_test_result(!sessions, "no session is left\n");
	ksft_test_result(more <= FILES_MORE, "no file is left open\n");
}

static void let_userfaultfd(void)
{
	int fd = open("/proc/sys/vm/unprivileged_userfaultfd", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		ksft_exit_fail_msg("vm.unprivileged_userfaultfd: %s\n", strerror(errno));
	close(fd);
	chmod("/dev/vfio-keepalive", 0666);
}

int main(int argc, char **argv)
{
	static const char *nodes[4];
	static char paths[4][64];
	struct worker like = { .seed = 1, .nodes = nodes };
	__u64 calls = 20000, made;
	struct board *b;
	pid_t operator;
	long files;
	int c;

	if (argc > 1 && !strcmp(argv[1], "--nothing"))
		return 0;
	while ((c = getopt(argc, argv, "s:n:bvh")) != -1) {
		switch (c) {
		case 's':
			like.seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			calls = strtoull(optarg, NULL, 0);
			break;
		case 'b':
			like.halting = true;
			break;
		case 'v':
			like.verbose = true;
			break;
		default:
			fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	while (optind < argc && like.node_count < 4) {
		snprintf(paths[like.node_count], sizeof(paths[0]), "/dev/%s", argv[optind++]);
		nodes[like.node_count] = paths[like.node_count];
		like.node_count++;
	}
	if (like.node_count < 2 || optind < argc) {
		fputs(usage, stderr);
		return 2;
	}
	ksft_print_header();
	ksft_set_plan(6);
	let_userfaultfd();
	b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b == MAP_FAILED)
		ksft_exit_fail_msg("no memory\n");
	like.board = b;
	files = left_files();
	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, like.sock))
		ksft_exit_fail_msg("socketpair: %s\n", strerror(errno));
	fflush(stdout);
	operator = fork();
	if (!operator)
		operator_run(&like, mix(like.seed, 88, 0, 0));
	run(&like, calls);
	VMM_STORE(b->end, true);
	waitpid(operator, NULL, 0);
	/* With what was sent and nobody received. */
	close(like.sock[0]);
	close(like.sock[1]);
	made = sum(b->calls, -1);
	ksft_print_msg("seed %llu: %llu calls, %llu without an error, KVM_RUN %llu times\n",
		       like.seed, made, sum(b->good, -1), b->runs);
	ksft_print_msg("moves: %llu by VMMs, %llu by the operator; adopted %llu times\n", b->moved,
		       b->operated, b->adopted);
	ksft_print_msg("the operator's that failed: record %llu, prepare %llu, stop %llu,\n",
		       b->failed[KVM_CORE_STAGE_RECORD], b->failed[KVM_CORE_STAGE_PREPARE],
		       b->failed[KVM_CORE_STAGE_STOP]);
	ksft_print_msg("quiesce %llu, move %llu, commit %llu\n",
		       b->failed[KVM_CORE_STAGE_QUIESCE],
		       b->failed[KVM_CORE_STAGE_MOVE], b->failed[KVM_CORE_STAGE_COMMIT]);
	ksft_print_msg("%llu times an instance was drained\n", b->drained);
	ksft_test_result(made >= calls && !unfit, "%llu calls were made\n", calls);
	ksft_test_result(!undying && !stuck, "every process went on, and ended when told to\n");
	ksft_test_result(b->runs && b->operated, "guests ran, and VMs were moved\n");
	check_left(files);
	ksft_exit(!ksft_get_fail_cnt());
}
