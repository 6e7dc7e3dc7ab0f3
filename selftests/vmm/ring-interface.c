// SPDX-License-Identifier: GPL-2.0-only
/* vmm-ring: KVM's own interface, and mappings of a ring that is nobody's any more. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include <linux/dirty_ring.h>
#include "vmm-ring.h"

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
	other = vm_create(vm->path, &shape, &ring_fds, &ring_report);
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

int test_interface(const struct options *o)
{
	struct vm *vm;
	struct ring r;

	result_plan(o->upstream ? 24 : 28);
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

int test_hold(const struct options *o)
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
