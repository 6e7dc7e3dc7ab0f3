// SPDX-License-Identifier: GPL-2.0-only
/* vmm-ring: dirty rings, by what a VMM can see of them. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm_core.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <kselftest.h>
#include <linux/dirty_ring.h>
#include "vmm-ring.h"

static const char usage[] =
"usage: vmm-ring [-d DEVICE] [-b DEVICE] [-n N] [-B] [-i] [-u] TEST\n"
"\n"
"  interface  KVM's own interface of dirty rings, bad input included\n"
"  beyond     what <linux/dirty_ring.h> adds\n"
"  tenants    a VM is moved while another one's VMM lets ioctls of its rings wait\n"
"  resets     threads that reset the same ring, and signals\n"
"  interrupts are taken by a vCPU that waits for the limit of its rate\n"
"  limit      the limit of the rate: how exact, and what it costs another vCPU\n"
"  move       N times to a vCPU of another VM, writers and a collector running\n"
"  hold       print \"held\", keep a mapping of a closed VM's ring until killed\n"
"  bench      \"name value\" lines, nanoseconds of CLOCK_MONOTONIC\n"
"\n"
"  -d, --device DEVICE  KVM (/dev/kvm)\n"
"  -b, --to DEVICE      KVM to move to and from (the first)\n"
"  -n, --moves N        (200)\n"
"  -B, --break          give the new vCPU an empty ring: ok if that is noticed\n"
"  -i, --in-place       kvm-core moves the VM, while it runs and is collected\n"
"  -u, --upstream       leave out what KVM's own ring gets wrong\n"
"  -h, --help\n";

#define ENTRIES		4096u

static struct vm_report report;
static struct vm_fds fds;

/* Here, and so are results: kselftest.h counts for each file of a program. */
void plan(unsigned int n)
{
	ksft_set_plan(n);
}

void check(bool ok, const char *what)
{
	if (ok)
		ksft_test_result_pass("%s\n", what);
	else
		ksft_test_result_fail("%s (errno %d)\n", what, errno);
	fflush(stdout);
}

struct vm *vm_start(const char *dev, unsigned int cpus, unsigned int ring,
		    unsigned int pages)
{
	struct vm_shape shape = {
		.guest = GUEST_dirty, .cpus = cpus, .mem = 64 << 20, .ring = ring,
		.ws_per_cpu = (__u64)pages * PAGE,
	};
	struct vm *vm;

	if (vm_fds_make(&shape, &fds))
		exit(1);
	vm = vm_create(dev, &shape, &fds, &report);
	if (!vm || vm_boot(vm))
		exit(1);
	return vm;
}

void vm_end(struct vm *vm)
{
	vm_destroy(vm);
	vm_fds_close(&fds);
}

struct vm *vm_twin(const struct vm *vm)
{
	struct vm *twin = vm_create(vm->path, &vm->shape, &vm->fds, &report);

	if (!twin)
		exit(1);
	return twin;
}

void tell(struct vm *vm, __u32 op)
{
	VMM_STORE(vm_shared(vm->mem)->bench_op, op);
}

bool run_until_full(struct vm *vm)
{
	struct kvm_run *run = vm->vcpu[0].run;

	run->exit_reason = 0;
	return !ioctl(vm->vcpu[0].fd, KVM_RUN, 0) &&
	       run->exit_reason == KVM_EXIT_DIRTY_RING_FULL;
}

void count_page(void *arg, __u32 slot, __u64 offset)
{
	(void)slot;
	(void)offset;
	if (arg)
		++*(unsigned int *)arg;
}

static __u64 stat(struct ring *r, enum ring_stat s)
{
	__u64 value[RING_STATS] = { 0 };

	ring_stats(r, value);
	return value[s];
}

/* KVM's interface */

static int try_size(const char *dev, __u64 size, int times, bool vcpu_first)
{
	struct kvm_enable_cap cap = {
		.cap = KVM_CAP_DIRTY_LOG_RING, .args = { size },
	};
	int kvm = open(dev, O_RDWR | O_CLOEXEC);
	int vm = ioctl(kvm, KVM_CREATE_VM, 0);
	int vcpu = vcpu_first ? ioctl(vm, KVM_CREATE_VCPU, 0) : -1;
	int err = 0;

	while (times--)
		err = ioctl(vm, KVM_ENABLE_CAP, &cap) ? errno : 0;
	if (vcpu >= 0)
		close(vcpu);
	close(vm);
	close(kvm);
	errno = err;
	return err;
}

static void test_sizes(const char *dev)
{
	const __u32 e = sizeof(struct kvm_dirty_gfn);
	int kvm = open(dev, O_RDWR | O_CLOEXEC);

	check(ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING) == 65536 * (int)e &&
	      ioctl(kvm, KVM_CHECK_EXTENSION, KVM_CAP_DIRTY_LOG_RING_ACQ_REL) == 65536 * (int)e,
	      "both capabilities tell the largest size");
	close(kvm);
	check(try_size(dev, 0, 1, false) == EINVAL, "size 0 is EINVAL");
	check(try_size(dev, 3 * PAGE, 1, false) == EINVAL, "no power of two is EINVAL");
	check(try_size(dev, 512, 1, false) == EINVAL, "too small is EINVAL");
	check(try_size(dev, 65536 * e * 2, 1, false) == E2BIG, "too large is E2BIG");
	check(try_size(dev, 65536 * e, 1, false) == 0, "the largest size is taken");
	check(try_size(dev, ENTRIES * e, 2, false) == EINVAL, "a second time is EINVAL");
	check(try_size(dev, ENTRIES * e, 1, true) == EINVAL, "with a vCPU it is EINVAL");
}

static void test_bitmap(struct vm *vm)
{
	static char bits[2048];
	struct kvm_dirty_log get = { .dirty_bitmap = bits };
	struct kvm_clear_dirty_log clear = { .num_pages = 64, .dirty_bitmap = bits };
	struct vm_shape shape = vm->shape;
	struct vm *other;

	check(ioctl(vm->fd, KVM_GET_DIRTY_LOG, &get) && errno == ENXIO &&
	      ioctl(vm->fd, KVM_CLEAR_DIRTY_LOG, &clear) && errno == ENXIO,
	      "with rings there is no bitmap: ENXIO");
	shape.ring = 0;
	other = vm_create(vm->path, &shape, &fds, &report);
	check(other && ioctl(other->fd, KVM_RESET_DIRTY_RINGS, 0) && errno == EINVAL,
	      "without rings a reset is EINVAL");
	vm_destroy(other);
}

static void test_mmap(struct vm *vm)
{
	size_t len = ENTRIES * sizeof(struct kvm_dirty_gfn);
	off_t at = KVM_DIRTY_LOG_PAGE_OFFSET * PAGE;
	int fd = vm->vcpu[0].fd;

	check(mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, at) == MAP_FAILED &&
	      errno == EINVAL, "a private mapping is EINVAL");
	check(mmap(NULL, len, PROT_READ | PROT_EXEC, MAP_SHARED, fd, at) == MAP_FAILED &&
	      errno == EINVAL, "an executable one too");
}

static void test_full(struct vm *vm, struct ring *r)
{
	unsigned int n, seen = 0;

	tell(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	check(run_until_full(vm), "KVM_EXIT_DIRTY_RING_FULL comes");
	check(run_until_full(vm), "and again when nothing was reset");
	check(ring_reset_all(vm) == 0, "what was not collected is not reset");
	n = ring_collect(r, count_page, &seen);
	ksft_print_msg("full at %u of %u entries\n", n, ENTRIES);
	check(n == seen && n < ENTRIES && n >= ENTRIES / 2, "all entries are collected");
	check(ring_reset_all(vm) == (int)n, "and reset, counted exactly");
	check(ring_reset_all(vm) == 0, "once");
	check(run_until_full(vm) && ring_collect(r, count_page, NULL) &&
	      ring_reset_all(vm) > 0, "the vCPU goes on, around the end of the ring");
}

void protect_all(struct vm *vm)
{
	struct kvm_userspace_memory_region slot = {
		.memory_size = vm->shape.mem,
		.userspace_addr = (unsigned long)vm->mem,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot))
		exit(1);
	slot.flags = KVM_MEM_LOG_DIRTY_PAGES;
	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot))
		exit(1);
}

/* What a VMM that has lost its mind leaves in the ring. */
static void test_rubbish(struct vm *vm, struct ring *r)
{
	static const __u64 offsets[] = {
		0, 63, (64 << 20) / PAGE - 1, (64 << 20) / PAGE, 1ull << 32,
		~0ull, ~0ull - 63, 1ull << 63, 1ull << 52,
	};
	static const __u32 slots[] = { 0, 1, 0x7fff, 0xffff, 1 << 16, 2 << 16, ~0u };
	unsigned int i, k, pushed;
	bool fine = true;
	int n;

	srandom(1);
	for (k = 0; k < 20; k++) {
		protect_all(vm);
		fine &= run_until_full(vm);
		pushed = ring_collect(r, count_page, NULL);
		for (i = 0; i < r->size; i++) {
			struct kvm_dirty_gfn *e = &r->entries[i];

			e->slot = k & 1 ? slots[random() % ARRAY_SIZE(slots)] : (__u32)random();
			e->offset = k & 2 ? offsets[random() % ARRAY_SIZE(offsets)] :
				(__u64)random() << (random() % 40);
			e->flags = random() | KVM_DIRTY_GFN_F_RESET;
		}
		n = ring_reset_all(vm);
		fine &= n == (int)pushed;
		for (i = 0; i < r->size; i++)
			r->entries[i].flags = 0;
	}
	check(fine, "rubbish in all entries: as many are reset as were pushed");
	for (i = 0; i < r->size; i++)
		r->entries[i].flags = ~0u;
	check(ring_reset_all(vm) == 0, "flags in an empty ring reset nothing");
	for (i = 0; i < r->size; i++)
		r->entries[i].flags = 0;
}

static void on_alarm(int sig)
{
	(void)sig;
}

/*
 * Entries far from each other make several batches; a signal comes in between. KVM's
 * own ioctl does all the same.
 */
static void test_signal(struct vm *vm, struct ring *r)
{
	struct itimerval every = { { 0, 300 }, { 0, 300 } }, none = { 0 };
	unsigned int i, k, n, sum, parts = 0;
	bool exact = true, whole = true;
	int got;

	signal(SIGALRM, on_alarm);
	for (k = 0; k < 400 && parts < 2; k++) {
		protect_all(vm);
		run_until_full(vm);
		n = ring_collect(r, count_page, NULL);
		for (i = 0; i < r->size; i++)
			r->entries[i].offset = i * 64 % (vm->shape.mem / PAGE);
		setitimer(ITIMER_REAL, &every, NULL);
		if (k & 1)
			whole &= ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0) == (int)n;
		for (sum = 0; !(k & 1) && sum < n; sum += got > 0 ? got : 0) {
			got = ioctl(vm->vcpu[0].fd, DIRTY_RING_RESET, 0);
			exact &= got >= 0 || errno == EINTR;
			parts += got > 0 && got < (int)n;
		}
		setitimer(ITIMER_REAL, &none, NULL);
		exact &= k & 1 || sum == n;
	}
	ksft_print_msg("in parts: in round %u\n", k);
	check(parts && exact, "a signal ends a reset early, the next goes on from there");
	check(whole, "KVM_RESET_DIRTY_RINGS does all, whatever signals come");
}

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
static void test_two_resetters(const char *dev, bool own)
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

/* Mappings of a ring whose descriptors are all closed. */
static void test_lifetime(const char *dev)
{
	struct vm *vm = vm_start(dev, 1, 1024, 2048);
	struct ring r;
	int status = 1;
	bool same;
	pid_t pid;

	if (ring_open(&r, &vm->vcpu[0]))
		exit(1);
	tell(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	check(run_until_full(vm), "a full ring");
	fflush(stdout);
	pid = fork();
	if (!pid) {
		/* The VM is another process's, the memory of the ring is there. */
		same = ring_collect(&r, count_page, NULL) > 300 &&
			ioctl(vm->fd, KVM_RESET_DIRTY_RINGS, 0) && errno == EIO;
		_exit(same ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	check(!status, "a child collects from it, and cannot reset it: EIO");
	check(ring_reset_all(vm) > 300, "the parent resets what the child collected");
	vm_end(vm);
	r.entries[0].flags = 1;
	r.entries[1023].offset = 2;
	check(r.entries[0].flags == 1 && r.entries[1023].offset == 2,
	      "the mapping outlives vCPU and VM");
	ring_close(&r);
}

static int test_interface(const struct options *o)
{
	struct vm *vm;
	struct ring r;

	ksft_set_plan(o->upstream ? 24 : 28);
	test_sizes(o->dev[0]);
	vm = vm_start(o->dev[0], 1, ENTRIES, 8192);
	if (ring_open(&r, &vm->vcpu[0]))
		return 1;
	test_bitmap(vm);
	test_mmap(vm);
	test_full(vm, &r);
	if (!o->upstream)
		test_rubbish(vm, &r);
	if (!o->upstream)
		test_signal(vm, &r);
	ring_close(&r);
	vm_end(vm);
	test_two_resetters(o->dev[0], false);
	test_lifetime(o->dev[0]);
	return 0;
}

/* Beyond KVM's interface */

/* Each vCPU writes all its pages once; then none is left to be pushed. */
static void write_all(struct vm *vm, __u32 op)
{
	__u64 goal[GUEST_MAX_CPUS];
	unsigned int i;

	for (i = 0; i < vm->shape.cpus; i++)
		goal[i] = vm_cpu_page(vm->mem, i)->count[0] +
			3 * vm->shape.ws_per_cpu / PAGE;
	tell(vm, op);
	vm_resume(vm);
	for (i = 0; i < vm->shape.cpus; i++)
		while (DIRTY_OP(op, i) == DIRTY_SEQUENTIAL &&
		       VMM_LOAD(vm_cpu_page(vm->mem, i)->count[0]) < goal[i])
			usleep(1000);
	vm_pause(vm);
	/*
	 * Once more into the guest: what was in the PML buffer is in the ring since
	 * the exit, and the ring is looked at before an entry.
	 */
	tell(vm, 0);
	goal[0] = VMM_LOAD(vm_cpu_page(vm->mem, 0)->progress);
	vm_resume(vm);
	while (VMM_LOAD(vm_cpu_page(vm->mem, 0)->progress) == goal[0])
		usleep(1000);
	vm_pause(vm);
}

static void test_capabilities(struct vm *vm)
{
	struct vm_shape shape = vm->shape;
	bool all = true;
	struct vm *other;
	long c;

	for (c = DIRTY_RING_CAP_RESET; c <= DIRTY_RING_CAP_TAKE; c++)
		all &= ioctl(vm->fd, KVM_CHECK_EXTENSION, c) == 1 &&
			ioctl(vm->kvm, KVM_CHECK_EXTENSION, c) == 1;
	check(all && !ioctl(vm->fd, KVM_CHECK_EXTENSION, c) &&
	      !ioctl(vm->fd, KVM_CHECK_EXTENSION, DIRTY_RING_CAP_RESET - 1),
	      "capabilities are announced, and no others");
	check(ioctl(vm->vcpu[0].fd, _IO(KVMIO, 0xff), 0) && errno == EINVAL &&
	      ioctl(vm->vcpu[0].fd, DIRTY_RING_RESET, 1) && errno == EINVAL &&
	      ioctl(vm->vcpu[0].fd, DIRTY_RING_STATS_FD, 1) && errno == EINVAL,
	      "unknown ioctls and arguments are EINVAL");
	shape.ring = 0;
	other = vm_create(vm->path, &shape, &fds, &report);
	check(other && ioctl(other->vcpu[0].fd, DIRTY_RING_RESET, 0) && errno == EINVAL,
	      "without a ring they are EINVAL");
	vm_destroy(other);
}

static void test_own_reset(struct vm *vm, struct ring *r)
{
	unsigned int n[2], left = 0, i;

	write_all(vm, DIRTY(0, DIRTY_SEQUENTIAL) | DIRTY(1, DIRTY_SEQUENTIAL));
	for (i = 0; i < 2; i++)
		n[i] = ring_collect(&r[i], count_page, NULL);
	check(ring_reset(&r[0]) == (int)n[0], "a reset of one ring");
	for (i = 0; i < r[1].size; i++)
		left += r[1].entries[i].flags == KVM_DIRTY_GFN_F_RESET;
	check(left == n[1], "leaves the other vCPU's alone");
	check(ring_reset_all(vm) == (int)n[1], "which KVM_RESET_DIRTY_RINGS resets");
	write_all(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	check(ring_collect(&r[0], count_page, NULL) >= vm->shape.ws_per_cpu / PAGE,
	      "all pages are protected again");
	ring_reset(&r[0]);
}

static void test_notify(struct vm *vm, struct ring *r)
{
	struct dirty_ring_notify n = { .fd = eventfd(0, 0) };
	int fd = vm->vcpu[0].fd;
	__u64 before;

	check(ioctl(fd, DIRTY_RING_NOTIFY, &n) && errno == EINVAL, "level 0 is EINVAL");
	n.level = r->size;
	check(ioctl(fd, DIRTY_RING_NOTIFY, &n) && errno == EINVAL,
	      "a level that is never reached is EINVAL");
	n.level = 1;
	n.fd = 999;
	check(ioctl(fd, DIRTY_RING_NOTIFY, &n) && errno == EBADF, "no descriptor is EBADF");
	n.fd = vm->fd;
	check(ioctl(fd, DIRTY_RING_NOTIFY, &n) && errno == EINVAL, "no eventfd is EINVAL");
	check(ioctl(fd, DIRTY_RING_NOTIFY, NULL) && errno == EFAULT, "no address is EFAULT");

	before = stat(r, RING_NOTIFIED);
	ring_wake_at(r, 8);
	write_all(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	check(ring_sleep(r, 1000) && !ring_sleep(r, 0) &&
	      stat(r, RING_NOTIFIED) == before + 1, "the eventfd is signalled, once");
	ring_collect(r, count_page, NULL);
	check(ring_reset(r) > 8, "a reset");
	write_all(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	check(ring_sleep(r, 1000), "arms it again");
	n.fd = -1;
	ioctl(fd, DIRTY_RING_NOTIFY, &n);
	ring_collect(r, count_page, NULL);
	ring_reset(r);
	write_all(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	check(!ring_sleep(r, 100), "taken away it is silent");
	ring_collect(r, count_page, NULL);
	ring_reset(r);
}

static void test_stats(struct vm *vm, struct ring *r)
{
	__u64 a[RING_STATS] = { 0 }, b[RING_STATS] = { 0 };
	unsigned int n;

	ring_stats(r, a);
	write_all(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	n = ring_collect(r, count_page, NULL);
	ring_reset(r);
	ring_stats(r, b);
	check(b[RING_PUSHED] - a[RING_PUSHED] == n &&
	      b[RING_RESET] - a[RING_RESET] == n &&
	      b[RING_RESETS] - a[RING_RESETS] == 1 && !b[RING_DROPPED],
	      "statistics count what was done");
}

static int take(struct vm *to, int from)
{
	return ioctl(to->vcpu[0].fd, DIRTY_RING_TAKE, from) ? errno : 0;
}

/* What a VMM can have the kernel log, it can have it log without end. */
static bool log_says(const char *what)
{
	int size = klogctl(10, NULL, 0);	/* SYSLOG_ACTION_SIZE_BUFFER */
	char *log = size > 0 ? calloc(1, size + 1) : NULL;
	bool says;

	says = !log || klogctl(3, log, size) < 0 || strstr(log, what);
	free(log);
	return says;
}

/* Writes of KVM's own fill the ring to the last entry, and beyond. */
static void test_dropped(const char *dev)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry wall_clock;
	} msrs = {
		.head.nmsrs = 1,
		.wall_clock = { .index = 0x4b564d00, .data = GUEST_WS },
	};
	struct vm *vm = vm_start(dev, 1, 1024, 2048);
	bool set = true;
	struct ring r;
	int i, n;

	if (ring_open(&r, &vm->vcpu[0]))
		exit(1);
	for (i = 0; i < 1000; i++)
		set &= ioctl(vm->vcpu[0].fd, KVM_SET_MSRS, &msrs) == 1;
	n = ring_collect(&r, count_page, NULL);
	check(set && n == 1024 && stat(&r, RING_PUSHED) == 1024 && stat(&r, RING_DROPPED),
	      "more writes than entries: the rest is dropped, and counted");
	check(!log_says("dirty-ring: "), "the kernel's log has nothing of it");
	tell(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	check(run_until_full(vm) && ring_reset(&r) == n && run_until_full(vm) &&
	      ring_collect(&r, count_page, NULL) > 300, "the ring is used on");
	ring_close(&r);
	vm_end(vm);
}

static void test_no_room(const char *dev)
{
	struct vm *vm = vm_start(dev, 1, 2048, 2048), *to;
	struct ring r = { .vcpu = &vm->vcpu[0] };

	/* Both of the same memory: they take turns. */
	to = vm_create(dev, &vm->shape, &fds, &report);
	if (!to || vm_boot(to))
		exit(1);
	tell(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	if (!run_until_full(vm))
		exit(1);
	vm_cpu_page(vm->mem, 0)->started = 0;
	if (!run_until_full(to))
		exit(1);
	check(take(to, vm->vcpu[0].fd) == ENOSPC && !stat(&r, RING_MOVED) &&
	      run_until_full(vm) && run_until_full(to),
	      "two full rings do not become one, and stay where they are");
	vm_destroy(to);
	vm_end(vm);
}

static void test_take(struct vm *vm, struct ring *r)
{
	struct vm_shape shape = vm->shape;
	struct vm *to = vm_create(vm->path, &shape, &fds, &report), *small;
	unsigned int n;
	struct ring r2;
	int sfd;

	if (!to)
		exit(1);
	sfd = ioctl(vm->vcpu[0].fd, KVM_GET_STATS_FD, 0);
	check(take(to, 999) == EBADF && take(to, -1) == EBADF, "no descriptor is EBADF");
	check(take(to, vm->fd) == EINVAL && take(to, fds.mem) == EINVAL &&
	      take(to, sfd) == EINVAL, "one that is no vCPU's is EINVAL");
	close(sfd);
	check(take(to, to->vcpu[0].fd) == EINVAL, "its own is EINVAL");
	shape.ring /= 2;
	small = vm_create(vm->path, &shape, &fds, &report);
	check(small && take(small, vm->vcpu[0].fd) == EINVAL, "another size is EINVAL");
	vm_destroy(small);
	tell(vm, DIRTY_IDLE);
	vm_resume(vm);
	usleep(50000);
	check(take(to, vm->vcpu[0].fd) == EBUSY, "while the other runs it is EBUSY");
	vm_pause(vm);

	write_all(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	if (ring_open(&r2, &to->vcpu[0]))
		exit(1);
	(void)VMM_LOAD(r2.entries[0].flags);
	check(take(to, vm->vcpu[0].fd) == EBUSY, "a ring that is mapped is not replaced");
	ring_close(&r2);
	vm_destroy(to);
	to = vm_create(vm->path, &vm->shape, &fds, &report);
	if (!to)
		exit(1);
	check(take(to, vm->vcpu[0].fd) == 0, "the ring of another VM's vCPU is taken");
	r2 = *r;
	r2.event = -1;
	r2.vcpu = &to->vcpu[0];
	check(stat(&r2, RING_MOVED) == 1 && !stat(r, RING_PUSHED),
	      "its statistics go with it");
	check(take(vm, to->vcpu[0].fd) == 0, "and back");
	n = ring_collect(r, count_page, NULL);
	check(n >= vm->shape.ws_per_cpu / PAGE && ring_reset(r) == (int)n,
	      "with all that was in it");
	vm_destroy(to);
}

static int test_beyond(const struct options *o)
{
	struct vm *vm = vm_start(o->dev[0], 2, ENTRIES, 256);
	struct ring r[2];

	ksft_set_plan(32);
	if (ring_open(&r[0], &vm->vcpu[0]) || ring_open(&r[1], &vm->vcpu[1]))
		return 1;
	test_capabilities(vm);
	test_own_reset(vm, r);
	test_notify(vm, r);
	test_stats(vm, r);
	test_take(vm, r);
	ring_close(&r[0]);
	ring_close(&r[1]);
	vm_end(vm);
	test_no_room(o->dev[0]);
	test_dropped(o->dev[0]);
	test_two_resetters(o->dev[0], true);
	return 0;
}

/* The limit of the rate */

struct limited {
	struct ring	ring;
	bool		stop;
};

static void *limited_main(void *arg)
{
	struct limited *l = arg;

	while (!VMM_LOAD(l->stop)) {
		ring_sleep(&l->ring, 100);
		if (ring_collect(&l->ring, count_page, NULL))
			ring_reset(&l->ring);
	}
	return NULL;
}

static __u64 cpu_time(struct vcpu *v)
{
	struct timespec ts = { 0 };
	clockid_t clock;

	if (!pthread_getcpuclockid(v->thread, &clock))
		clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

/* Rounds of vCPU 1 in a second of its CPU time, and pages of vCPU 0 in one of the clock. */
static void sample(struct vm *vm, struct limited *l, double *rounds, double *pages)
{
	struct guest_cpu *c = vm_cpu_page(vm->mem, 1);
	__u64 t0, t1, c0, c1, n0, n1, p0, p1;

	usleep(150000);
	p0 = stat(&l->ring, RING_PUSHED);
	t0 = now_ns();
	c0 = cpu_time(&vm->vcpu[1]);
	n0 = VMM_LOAD(c->count[2]);
	sleep(1);
	p1 = stat(&l->ring, RING_PUSHED);
	t1 = now_ns();
	c1 = cpu_time(&vm->vcpu[1]);
	n1 = VMM_LOAD(c->count[2]);
	*rounds = (n1 - n0) * 1e9 / (c1 - c0);
	*pages = (p1 - p0) * 1e9 / (t1 - t0);
}

static int test_limit(const struct options *o)
{
	double alone, beside, full, idle, limited, free_run, wide;
	struct vm *vm = vm_start(o->dev[0], 2, ENTRIES, 4096);
	struct limited l = { 0 };
	pthread_t thread;
	__u64 ns, too_much = 1000000001;

	ksft_set_plan(6);
	if (ring_open(&l.ring, &vm->vcpu[0]) || ring_wake_at(&l.ring, 64))
		return 1;
	check(ioctl(vm->vcpu[0].fd, DIRTY_RING_LIMIT, &too_much) && errno == EINVAL &&
	      ioctl(vm->vcpu[0].fd, DIRTY_RING_LIMIT, NULL) && errno == EFAULT,
	      "limits that are none");
	pthread_create(&thread, NULL, limited_main, &l);
	tell(vm, DIRTY(0, DIRTY_IDLE) | DIRTY(1, DIRTY_SPIN));
	vm_resume(vm);
	sample(vm, &l, &alone, &idle);
	tell(vm, DIRTY(0, DIRTY_RANDOM) | DIRTY(1, DIRTY_SPIN));
	sample(vm, &l, &full, &free_run);
	ring_limit(&l.ring, 1000);
	sample(vm, &l, &beside, &limited);
	ns = stat(&l.ring, RING_THROTTLED_NS);
	ksft_print_msg("vCPU 0: %.0f pages/s without, %.1f with a limit of 1000\n",
		       free_run, limited);
	ksft_print_msg("vCPU 1, rounds per CPU second: vCPU 0 idle %.3f, free %.3f, limited %.3f\n",
		       alone, full, beside);
	check(free_run > 2000, "without a limit it is faster");
	check(limited > 950 && limited < 1050, "the rate is within 5 % of the limit");
	check(beside > alone * 0.98 && beside < alone * 1.02,
	      "the other vCPU's throughput is within 2 %");
	check(ns > 500000000, "the time is counted");
	/* Far above what it does: as if there were none. */
	ring_limit(&l.ring, 1000000000);
	sample(vm, &l, &beside, &wide);
	ksft_print_msg("vCPU 0: %.0f pages/s with a limit that it does not reach\n", wide);
	check(wide > free_run * 0.9, "a vCPU below its limit is not slowed");
	vm_pause(vm);
	VMM_STORE(l.stop, true);
	pthread_join(thread, NULL);
	ring_close(&l.ring);
	vm_end(vm);
	return 0;
}

/* Moves */

struct collector {
	pthread_mutex_t	lock;
	struct ring	ring[GUEST_MAX_CPUS];
	unsigned int	cpus;
	char		*mem;		/* the guest's, by a mapping of its own */
	char		*copy;
	size_t		size;
	unsigned char	*todo;		/* a byte for each page */
	__u64		entries;
	bool		stop;
};

static void note_page(void *arg, __u32 slot, __u64 offset)
{
	struct collector *c = arg;

	if (!slot && offset < c->size / PAGE)
		c->todo[offset] = 1;
	c->entries++;
}

/* Collect, reset, copy: in this order what is written later is collected later. */
static void collect_round(struct collector *c)
{
	unsigned int i, n;
	size_t p;

	for (i = 0, n = 0; i < c->cpus; i++) {
		unsigned int k = ring_collect(&c->ring[i], note_page, c);

		if (k && ring_reset(&c->ring[i]) < 0)
			exit(1);
		n += k;
	}
	for (p = 0; n && p < c->size / PAGE; p++) {
		if (!c->todo[p])
			continue;
		c->todo[p] = 0;
		memcpy(c->copy + p * PAGE, c->mem + p * PAGE, PAGE);
	}
}

static void *collector_main(void *arg)
{
	struct collector *c = arg;

	while (!VMM_LOAD(c->stop)) {
		ring_sleep(&c->ring[0], 1);
		pthread_mutex_lock(&c->lock);
		collect_round(c);
		pthread_mutex_unlock(&c->lock);
	}
	return NULL;
}

/* Pages that changed and were in no ring; the VMM's own writes are in none. */
static unsigned int pages_lost(struct collector *c)
{
	unsigned int lost = 0;
	size_t p;

	collect_round(c);
	for (p = 0; p < c->size / PAGE; p++) {
		if (p == GUEST_SHARED / PAGE ||
		    !memcmp(c->mem + p * PAGE, c->copy + p * PAGE, PAGE))
			continue;
		if (!lost)
			ksft_print_msg("page 0x%zx changed and was not collected\n", p);
		lost++;
	}
	return lost;
}

/* The collector's lock is held, neither VM runs. */
static int move_rings(struct collector *c, struct vm *to, bool broken, bool *same)
{
	unsigned int i;
	__u64 f;

	for (i = 0; i < c->cpus; i++) {
		struct ring *r = &c->ring[i];

		if (broken) {
			ring_close(r);
			if (ring_open(r, &to->vcpu[i]) || ring_wake_at(r, 100))
				return -EIO;
			continue;
		}
		f = ring_frame(&r->entries[0]);
		if (ring_take(r, &to->vcpu[i]))
			return -EIO;
		(void)VMM_LOAD(r->entries[0].flags);
		*same &= f && f == ring_frame(&r->entries[0]);
	}
	return 0;
}

static int move_once(struct collector *c, struct vm *from, struct vm *to,
		     const struct options *o, unsigned int turn, bool *same)
{
	__u64 *stores = &vm_cpu_page(from->mem, 0)->count[0], last;
	struct vm_state st = { 0 };
	int ret;

	if (o->broken) {
		/* Something is in the ring for certain. */
		pthread_mutex_lock(&c->lock);
		last = VMM_LOAD(*stores);
		while (VMM_LOAD(*stores) < last + 100)
			usleep(100);
	}
	if (vm_stop_and_save(from, &st))
		return -EIO;
	if (!o->broken)
		pthread_mutex_lock(&c->lock);
	/* What restoring the state writes is in the ring before or after. */
	ret = turn & 1 ? move_rings(c, to, o->broken, same) : 0;
	if (!ret)
		ret = vm_restore(to, &st);
	if (!ret && !(turn & 1))
		ret = move_rings(c, to, o->broken, same);
	if (!ret && turn % 10 == 0)
		ret = pages_lost(c);
	pthread_mutex_unlock(&c->lock);
	state_free(&st);
	return ret ? ret : vm_go_on(to);
}

int move_in_place(struct vm *vm, const char *dev)
{
	struct kvm_core_move mv = { .deadline_us = 5000000, .timeout_ms = 60000 };

	snprintf(mv.instance, sizeof(mv.instance), "%s", strrchr(dev, '/') + 1);
	if (ioctl(vm->fd, KVM_CORE_VM_MOVE, &mv))
		return vmm_error(errno, "move to %s: %.128s", mv.instance, mv.reason);
	return 0;
}

static int test_move(const struct options *o)
{
	struct collector c = { .lock = PTHREAD_MUTEX_INITIALIZER, .cpus = 2 };
	struct vm_shape shape = {
		.guest = GUEST_dirty, .cpus = 2, .mem = 32 << 20, .ring = 1024,
		.ws_per_cpu = 4 << 20,
	};
	__u64 steps = 0, last;
	unsigned int i, done = 0;
	struct vm *vm, *next;
	pthread_t thread;
	bool same = true;
	int ret = 0;

	ksft_set_plan(o->broken ? 1 : 3);
	if (vm_fds_make(&shape, &fds))
		return 1;
	vm = vm_create(o->dev[0], &shape, &fds, &report);
	if (!vm || vm_boot(vm))
		return 1;
	c.size = shape.mem;
	c.mem = mmap(NULL, c.size, PROT_READ, MAP_SHARED, fds.mem, 0);
	c.copy = malloc(c.size);
	c.todo = calloc(1, c.size / PAGE);
	if (c.mem == MAP_FAILED || !c.copy || !c.todo)
		return 1;
	for (i = 0; i < c.cpus; i++)
		if (ring_open(&c.ring[i], &vm->vcpu[i]) || ring_wake_at(&c.ring[i], 100))
			return 1;
	tell(vm, DIRTY(0, DIRTY_RANDOM) | DIRTY(1, DIRTY_SEQUENTIAL));
	memcpy(c.copy, c.mem, c.size);
	vm_resume(vm);
	pthread_create(&thread, NULL, collector_main, &c);
	for (i = 0; !ret && i < o->moves; i++) {
		last = VMM_LOAD(vm_cpu_page(vm->mem, 0)->count[0]);
		while (VMM_LOAD(vm_cpu_page(vm->mem, 0)->count[0]) < last + 100)
			usleep(100);
		if (o->in_place) {
			__u64 f, g;

			/* The collector may not have looked at it yet. */
			(void)VMM_LOAD(c.ring[0].entries[0].flags);
			f = ring_frame(&c.ring[0].entries[0]);
			ret = move_in_place(vm, o->dev[(i + 1) % 2]);
			(void)VMM_LOAD(c.ring[0].entries[0].flags);
			g = ring_frame(&c.ring[0].entries[0]);
			if (!f || f != g)
				ksft_print_msg("move %u: page %llx, then %llx\n", i, f, g);
			same &= f && f == g;
			done += !ret;
			continue;
		}
		next = vm_create(o->dev[(i + 1) % 2], &shape, &fds, &report);
		if (!next)
			return 1;
		ret = move_once(&c, vm, next, o, i, &same);
		vm_destroy(vm);
		vm = next;
		done++;
	}
	vm_pause(vm);
	VMM_STORE(c.stop, true);
	pthread_join(thread, NULL);
	if (!ret)
		ret = pages_lost(&c);
	for (i = 0; i < c.cpus; i++)
		steps += vm_cpu_page(vm->mem, i)->count[0];
	ksft_print_msg("%u moves, %llu stores, %llu entries\n", done, steps, c.entries);
	if (o->broken) {
		check(ret > 0, "the loss of the ring is noticed");
	} else {
		check(!ret && done == o->moves, "every page that changed was collected");
		check(same, "the same pages are mapped before and after");
		check(stat(&c.ring[0], RING_MOVED) == done && !stat(&c.ring[0], RING_DROPPED),
		      "statistics go along");
	}
	for (i = 0; i < c.cpus; i++)
		ring_close(&c.ring[i]);
	vm_end(vm);
	return 0;
}

static int test_hold(const struct options *o)
{
	struct vm *vm = vm_start(o->dev[0], 1, 1024, 2048);
	struct ring r;

	if (ring_open(&r, &vm->vcpu[0]))
		return 1;
	vm_end(vm);
	r.entries[0].flags = 1;
	printf("held\n");
	fflush(stdout);
	pause();
	return 0;
}

/* Figures */

static void print(const char *name, double value)
{
	printf("%s %.1f\n", name, value);
	fflush(stdout);
}

/* A full ring of one writer, in this thread: what its parts cost for each entry. */
static int bench_ring(const char *dev, __u32 op, const char *name)
{
	struct vm *vm = vm_start(dev, 1, ENTRIES, 8192);
	__u64 t, fill = 0, reset = 0, full = ~0ull;
	unsigned int n = 0, k, rounds = 8;
	char line[64];
	struct ring r;

	memset(vm->mem + GUEST_WS, 1, 8192 * PAGE);
	if (ring_open(&r, &vm->vcpu[0]))
		return 1;
	tell(vm, DIRTY(0, op));
	for (k = 0; k < rounds + 3; k++) {
		bool warm = k >= 3;
		unsigned int got;

		t = now_ns();
		if (!run_until_full(vm))
			return vmm_error(0, "the ring does not fill");
		fill += warm ? now_ns() - t : 0;
		t = now_ns();
		run_until_full(vm);
		t = now_ns() - t;
		/* One that no tick of the host came into. */
		if (warm && t < full)
			full = t;
		got = ring_collect(&r, count_page, NULL);
		t = now_ns();
		if (ring_reset_all(vm) != (int)got)
			return vmm_error(0, "%u entries were not reset", got);
		reset += warm ? now_ns() - t : 0;
		n += warm ? got : 0;
	}
	snprintf(line, sizeof(line), "write_%s", name);
	print(line, (double)fill / n);
	snprintf(line, sizeof(line), "reset_%s", name);
	print(line, (double)reset / n);
	if (op == DIRTY_SEQUENTIAL)
		print("full_exit", full);
	ring_close(&r);
	vm_end(vm);
	return 0;
}

/* 1000 dirty pages in a VM of so many MiB, collected and protected again. */
static int bench_collect(const char *dev, unsigned int mib, bool ring)
{
	unsigned int pages = 1008, n = 0, k, rounds = 4;
	__u64 rest = ((__u64)mib - 64) << 20, t, took = 0;
	struct vm *vm = vm_start(dev, 1, ring ? ENTRIES : 0, pages);
	struct kvm_userspace_memory_region slots[2] = {
		{ .memory_size = vm->shape.mem, .userspace_addr = (unsigned long)vm->mem },
		{ .slot = 1, .guest_phys_addr = 4ull << 30, .memory_size = rest },
	};
	__u64 *bits[2], i, j;
	struct ring r = { .event = -1 };
	char line[64];

	slots[1].userspace_addr = (unsigned long)mmap(NULL, rest, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	for (i = 0; i < 2; i++) {
		slots[i].flags = KVM_MEM_LOG_DIRTY_PAGES;
		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slots[i]))
			return vmm_error(errno, "slot %llu", i);
		bits[i] = calloc(1, slots[i].memory_size / PAGE / 8);
	}
	if (ring && ring_open(&r, &vm->vcpu[0]))
		return 1;
	for (k = 0; k < rounds + 2; k++) {
		write_all(vm, DIRTY(0, DIRTY_SEQUENTIAL));
		n = 0;
		t = now_ns();
		if (ring) {
			ring_collect(&r, count_page, &n);
			ring_reset_all(vm);
		} else {
			for (i = 0; i < 2; i++) {
				struct kvm_dirty_log log = { .slot = i, .dirty_bitmap = bits[i] };

				ioctl(vm->fd, KVM_GET_DIRTY_LOG, &log);
				for (j = 0; j < slots[i].memory_size / PAGE / 64; j++)
					n += __builtin_popcountll(bits[i][j]);
			}
		}
		took += k >= 2 ? now_ns() - t : 0;
		if (n < pages || n > pages + 20)
			return vmm_error(0, "%u pages, not %u", n, pages);
	}
	snprintf(line, sizeof(line), "collect_%s_%u", ring ? "ring" : "bitmap", mib);
	print(line, (double)took / rounds);
	free(bits[0]);
	free(bits[1]);
	ring_close(&r);
	munmap((void *)(unsigned long)slots[1].userspace_addr, rest);
	vm_end(vm);
	return 0;
}

static int test_bench(const struct options *o)
{
	static const unsigned int sizes[] = { 256, 1024, 4096 };
	unsigned int i;

	if (bench_ring(o->dev[0], DIRTY_SEQUENTIAL, "sequential") ||
	    bench_ring(o->dev[0], DIRTY_RANDOM, "random"))
		return 1;
	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		if (bench_collect(o->dev[0], sizes[i], true) ||
		    bench_collect(o->dev[0], sizes[i], false))
			return 1;
	return 0;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "device", 1, NULL, 'd' }, { "to", 1, NULL, 'b' },
		{ "moves", 1, NULL, 'n' }, { "break", 0, NULL, 'B' },
		{ "in-place", 0, NULL, 'i' }, { "upstream", 0, NULL, 'u' },
		{ "help", 0, NULL, 'h' }, { 0 }
	};
	static const struct {
		const char *name;
		int (*run)(const struct options *o);
		bool tap;
	} tests[] = {
		{ "interface", test_interface, true }, { "beyond", test_beyond, true },
		{ "limit", test_limit, true }, { "move", test_move, true },
		{ "tenants", test_tenants, true }, { "resets", test_resets, true },
		{ "interrupts", test_interrupts, true },
		{ "hold", test_hold, false }, { "bench", test_bench, false },
	};
	struct options o = { .dev = { "/dev/kvm", NULL }, .moves = 200 };
	unsigned int i;
	int c;

	while ((c = getopt_long(argc, argv, "d:b:n:Biuh", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			o.dev[0] = optarg;
			break;
		case 'b':
			o.dev[1] = optarg;
			break;
		case 'n':
			o.moves = strtoul(optarg, NULL, 0);
			break;
		case 'B':
			o.broken = true;
			break;
		case 'i':
			o.in_place = true;
			break;
		case 'u':
			o.upstream = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (!o.dev[1])
		o.dev[1] = o.dev[0];
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		if (optind + 1 != argc || strcmp(argv[optind], tests[i].name))
			continue;
		if (!tests[i].tap)
			return tests[i].run(&o);
		ksft_print_header();
		if (tests[i].run(&o))
			ksft_exit_fail_msg("%s ended early\n", tests[i].name);
		ksft_finished();
	}
	fputs(usage, stderr);
	return 2;
}
