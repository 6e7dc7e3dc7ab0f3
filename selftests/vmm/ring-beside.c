// SPDX-License-Identifier: GPL-2.0-only
/* Dirty rings, and what other threads and other tenants do at the same time. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
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
	bool		idle;		/* runs when its CPU has nothing else to do */
	pthread_t	thread;
	pid_t		tid;
	bool		done;
	int		error;
};

static void *call_main(void *arg)
{
	struct call *c = arg;
	struct sched_param none = { 0 };

	if (c->idle && sched_setscheduler(0, SCHED_IDLE, &none))
		exit(1);
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
	result_plan(4);
	test_tenant(o, DIRTY_RING_NOTIFY, "DIRTY_RING_NOTIFY");
	test_tenant(o, DIRTY_RING_LIMIT, "DIRTY_RING_LIMIT");
	return 0;
}

/* Resets */

struct resetter {
	struct vm	*vm;
	struct ring	*ring;		/* NULL: all of the VM */
	__u64		sum;
	bool		stop;
	int		failed;
};

static void *resetter_main(void *arg)
{
	struct resetter *s = arg;
	int n;

	while (!VMM_LOAD(s->stop)) {
		n = s->ring ? ring_reset(s->ring) : ring_reset_all(s->vm);
		if (n < 0)
			s->failed = 1;
		else
			s->sum += n;
		usleep(200);
	}
	return NULL;
}

/* Two threads reset what a third one collects; no entry twice, none lost. */
void test_two_resetters(const char *dev, bool own)
{
	struct resetter s[2] = { 0 };
	pthread_t thread[2];
	struct ring ring[2];
	struct vm *vm = vm_start(dev, 2, 1024, 2048);
	unsigned int i, collected = 0;

	for (i = 0; i < 2; i++)
		if (ring_open(&ring[i], &vm->vcpu[i]))
			exit(1);
	tell(vm, DIRTY(0, DIRTY_RANDOM) | DIRTY(1, DIRTY_RANDOM));
	vm_resume(vm);
	for (i = 0; i < 2; i++) {
		s[i].vm = vm;
		s[i].ring = own ? &ring[i] : NULL;
		pthread_create(&thread[i], NULL, resetter_main, &s[i]);
	}
	while (collected <= 2000) {
		for (i = 0; i < 2; i++)
			ring_collect(&ring[i], count_page, &collected);
		usleep(200);
	}
	/* Nobody collects: the pause meets full rings. */
	usleep(500000);
	vm_pause(vm);
	for (i = 0; i < 2; i++)
		ring_collect(&ring[i], count_page, &collected);
	usleep(20000);
	for (i = 0; i < 2; i++) {
		VMM_STORE(s[i].stop, true);
		pthread_join(thread[i], NULL);
	}
	s[0].sum += ring_reset_all(vm);
	ksft_print_msg("%u entries\n", collected);
	check(s[0].sum + s[1].sum == collected && !s[0].failed &&
	      !s[1].failed, own ? "two rings are reset by two threads, each entry once" :
	      "two threads reset the same rings, each entry once");
	for (i = 0; i < 2; i++)
		ring_close(&ring[i]);
	vm_end(vm);
}

static void on_signal(int sig)
{
	(void)sig;
}

/* Each ioctl of its parent's that resets a ring begins with a signal pending. */
static void trace_parent(int told)
{
	struct __ptrace_syscall_info info;
	pid_t pid = getppid();
	int status, sig;

	alarm(60);
	if (ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACESYSGOOD) ||
	    ptrace(PTRACE_INTERRUPT, pid, 0, 0) || waitpid(pid, &status, __WALL) != pid ||
	    ptrace(PTRACE_SYSCALL, pid, 0, 0) || write(told, "", 1) != 1)
		_exit(1);
	while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
		sig = WSTOPSIG(status);
		if (sig == (SIGTRAP | 0x80)) {
			sig = 0;
			if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0 &&
			    info.op == PTRACE_SYSCALL_INFO_ENTRY &&
			    info.entry.nr == SYS_ioctl &&
			    (info.entry.args[1] == KVM_RESET_DIRTY_RINGS ||
			     info.entry.args[1] == DIRTY_RING_RESET))
				sig = SIGALRM;
		} else if (sig == SIGTRAP) {
			sig = 0;
		}
		ptrace(PTRACE_SYSCALL, pid, 0, sig);
	}
	_exit(1);
}

static void test_pending_signal(const char *dev)
{
	struct vm *vm = vm_start(dev, 1, 1024, 2048);
	int told[2], n, own, all, own_errno;
	struct ring r;
	char c;
	pid_t pid;

	if (ring_open(&r, &vm->vcpu[0]) || pipe2(told, O_CLOEXEC))
		exit(1);
	tell(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	check(run_until_full(vm), "a full ring");
	n = ring_collect(&r, count_page, NULL);
	signal(SIGALRM, on_signal);
	fflush(stdout);
	pid = fork();
	if (!pid)
		trace_parent(told[1]);
	close(told[1]);
	if (pid < 0 || read(told[0], &c, 1) != 1)
		exit(1);
	own = ioctl(vm->vcpu[0].fd, DIRTY_RING_RESET, 0);
	own_errno = errno;
	all = ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(told[0]);
	check(own == -1 && own_errno == EINTR,
	      "with a signal pending DIRTY_RING_RESET is EINTR");
	ksft_print_msg("%d of %d entries\n", all, n);
	check(all == n, "KVM_RESET_DIRTY_RINGS does all");
	ring_close(&r);
	vm_end(vm);
}

/* How often the VM's TLBs were to be flushed, by its statistics. */
static __u64 flushes(const struct vm *vm)
{
	union {
		struct kvm_stats_header header;
		char bytes[16384];
	} f;
	int fd = ioctl(vm->fd, KVM_GET_STATS_FD, 0);
	ssize_t len = pread(fd, &f, sizeof(f), 0);
	__u64 value;
	unsigned int i;

	close(fd);
	for (i = 0; len > 0 && i < f.header.num_desc; i++) {
		struct kvm_stats_desc *d = (void *)(f.bytes + f.header.desc_offset +
			i * (sizeof(*d) + f.header.name_size));

		if (strcmp((char *)(d + 1), "remote_tlb_flush_requests"))
			continue;
		memcpy(&value, f.bytes + f.header.data_offset + d->offset, sizeof(value));
		return value;
	}
	vmm_error(0, "no remote_tlb_flush_requests in the statistics");
	exit(1);
}

/* All of a vCPU's pages, as entries of ranges far from each other, collected. */
static struct kvm_dirty_gfn *backlog(struct ring *r)
{
	const struct vm_shape *shape = &r->vcpu->vm->shape;
	struct kvm_dirty_gfn *first = &r->entries[r->next % r->size];
	unsigned int n = 0, i;

	while (n < shape->ws_per_cpu / PAGE) {
		n += ring_collect(r, count_page, NULL);
		usleep(100);
	}
	for (i = 1; i <= n; i++)
		r->entries[(r->next - i) % r->size].offset = i * 64 % (shape->mem / PAGE);
	return first;
}

/*
 * One thread resets all rings, and is busy with the second. This one resets the first,
 * where nothing is left to do: it takes the CPU from the other. True when the TLBs were flushed
 * by then; @met when the other thread was under way all the time.
 */
static bool reset_beside(struct vm *vm, struct ring ring[2], bool *met)
{
	struct call all = { .fd = vm->fd, .cmd = KVM_RESET_DIRTY_RINGS, .idle = true };
	struct kvm_dirty_gfn *second;
	__u64 before, after;
	int found;

	protect_all(vm);
	tell(vm, DIRTY(0, DIRTY_SEQUENTIAL) | DIRTY(1, DIRTY_SEQUENTIAL));
	vm_resume(vm);
	second = backlog(&ring[1]);
	backlog(&ring[0]);
	/* Nobody else wants the CPU. */
	vm_pause(vm);
	before = flushes(vm);
	call_start(&all);
	while (VMM_LOAD(second->flags) & KVM_DIRTY_GFN_F_RESET)
		usleep(20);
	found = ring_reset(&ring[0]);
	after = flushes(vm);
	*met = !VMM_LOAD(all.done) && !found;
	pthread_join(all.thread, NULL);
	return after > before;
}

static void test_reset_beside(const char *dev)
{
	/* Fewer pages than entries: the rings are never full. */
	struct vm *vm = vm_start(dev, 2, 2048, 512);
	unsigned int i, met = 0, early = 0;
	struct ring ring[2];
	cpu_set_t all, one;
	bool at_once;

	if (ring_open(&ring[0], &vm->vcpu[0]) || ring_open(&ring[1], &vm->vcpu[1]))
		exit(1);
	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_getaffinity(0, sizeof(all), &all) || sched_setaffinity(0, sizeof(one), &one))
		exit(1);
	for (i = 0; i < 200 && met < 10; i++) {
		bool flushed = reset_beside(vm, ring, &at_once);

		met += at_once;
		early += at_once && !flushed;
	}
	sched_setaffinity(0, sizeof(all), &all);
	ksft_print_msg("%u of %u resets met the other thread's; %u before a flush\n", met,
		       i, early);
	check(met >= 10 && !early, "a reset that finds nothing returns after a flush too");
	ring_close(&ring[0]);
	ring_close(&ring[1]);
	vm_end(vm);
}

int test_resets(const struct options *o)
{
	result_plan(4);
	test_pending_signal(o->dev[0]);
	test_reset_beside(o->dev[0]);
	return 0;
}

/* Interrupts of a vCPU that waits */

#define DEBT	900		/* pages, or seconds at a limit of 1 */
#define EVENTS	50

/* Until it is reached; false when a minute brings nothing, and from then on. */
static bool counts_to(const __u64 *count, __u64 goal)
{
	__u64 end = now_ns() + 60000000000ull, seen = VMM_LOAD(*count), n;
	static bool stuck;

	while ((n = VMM_LOAD(*count)) < goal) {
		stuck |= now_ns() > end;
		if (stuck)
			return false;
		if (n != seen)
			end = now_ns() + 60000000000ull;
		seen = n;
		usleep(200);
	}
	return true;
}

static bool message(struct vm *vm, __u32 data, const __u64 *count)
{
	struct kvm_msi msi = { .address_lo = 0xfee00000, .data = data };
	unsigned int i;

	for (i = 0; i < EVENTS; i++) {
		__u64 seen = VMM_LOAD(*count);

		if (ioctl(vm->fd, KVM_SIGNAL_MSI, &msi) != 1 ||
		    !counts_to(count, seen + 1))
			return false;
	}
	return true;
}

/* Writes that KVM makes for the vCPU count as well: as many as one likes, at once. */
static bool make_debt(struct vcpu *v, unsigned int pages)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry wall_clock;
	} msrs = {
		.head.nmsrs = 1,
		.wall_clock = { .index = 0x4b564d00, .data = GUEST_WS },
	};
	bool ok = true;

	while (pages--)
		ok &= ioctl(v->fd, KVM_SET_MSRS, &msrs) == 1;
	return ok;
}

static __u64 count_taken(const __u64 *count)
{
	return count[DIRTY_TICKS] + count[DIRTY_IPIS] + count[DIRTY_NMIS];
}

int test_interrupts(const struct options *o)
{
	struct vm *vm = vm_start(o->dev[0], 2, 4096, 2048);
	__u64 *count = vm_cpu_page(vm->mem, 0)->count, stats[RING_STATS] = { 0 };
	__u64 stores, taken;
	struct ring r;

	result_plan(7);
	if (ring_open(&r, &vm->vcpu[0]))
		return 1;
	tell(vm, DIRTY(0, DIRTY_TIMER) | DIRTY(1, DIRTY_IDLE));
	vm_resume(vm);
	check(counts_to(&count[DIRTY_TICKS], 3), "the guest's timer ticks");
	vm_pause(vm);
	ring_collect(&r, count_page, NULL);
	ring_reset(&r);
	check(!ring_limit(&r, 1) && make_debt(&vm->vcpu[0], DEBT),
	      "a vCPU has to wait for 15 minutes");
	stores = count[DIRTY_STORES];
	taken = count_taken(count);
	vm_resume(vm);
	check(counts_to(&count[DIRTY_TICKS], VMM_LOAD(count[DIRTY_TICKS]) + EVENTS),
	      "it takes its timer's interrupts");
	check(message(vm, VEC_IPI, &count[DIRTY_IPIS]), "those of a device");
	check(message(vm, 4 << 8, &count[DIRTY_NMIS]), "NMIs");
	tell(vm, DIRTY(0, DIRTY_TIMER) | DIRTY(1, DIRTY_SEND));
	check(counts_to(&count[DIRTY_IPIS], VMM_LOAD(count[DIRTY_IPIS]) + EVENTS),
	      "IPIs of another vCPU");
	tell(vm, DIRTY(0, DIRTY_TIMER) | DIRTY(1, DIRTY_IDLE));
	vm_pause(vm);
	ring_stats(&r, stats);
	stores = count[DIRTY_STORES] - stores;
	taken = count_taken(count) - taken;
	ksft_print_msg("%llu stores, %llu interrupts, %llu entries, %llu waits\n",
		       stores, taken, stats[RING_PUSHED], stats[RING_THROTTLED]);
	/* One for each, and those to pages that are dirty already. */
	check(stats[RING_THROTTLED] && stores < 2 * taken, "otherwise it waits");
	ring_close(&r);
	vm_end(vm);
	return 0;
}
