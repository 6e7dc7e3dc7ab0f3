// SPDX-License-Identifier: GPL-2.0-only
/* vmm-ring: what <linux/dirty_ring.h> adds, but for the limit. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <unistd.h>
#include <linux/dirty_ring.h>
#include "vmm-ring.h"

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
	other = vm_create(vm->path, &shape, &ring_fds, &ring_report);
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

	before = ring_stat(r, RING_NOTIFIED);
	ring_wake_at(r, 8);
	write_all(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	check(ring_sleep(r, 1000) && !ring_sleep(r, 0) &&
	      ring_stat(r, RING_NOTIFIED) == before + 1, "the eventfd is signalled, once");
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
	check(set && n == 1024 && ring_stat(&r, RING_PUSHED) == 1024 && ring_stat(&r, RING_DROPPED),
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
	to = vm_create(dev, &vm->shape, &ring_fds, &ring_report);
	if (!to || vm_boot(to))
		exit(1);
	tell(vm, DIRTY(0, DIRTY_SEQUENTIAL));
	if (!run_until_full(vm))
		exit(1);
	vm_cpu_page(vm->mem, 0)->started = 0;
	if (!run_until_full(to))
		exit(1);
	check(take(to, vm->vcpu[0].fd) == ENOSPC && !ring_stat(&r, RING_MOVED) &&
	      run_until_full(vm) && run_until_full(to),
	      "two full rings do not become one, and stay where they are");
	vm_destroy(to);
	vm_end(vm);
}

static void test_take(struct vm *vm, struct ring *r)
{
	struct vm_shape shape = vm->shape;
	struct vm *to = vm_create(vm->path, &shape, &ring_fds, &ring_report), *small;
	unsigned int n;
	struct ring r2;
	int sfd;

	if (!to)
		exit(1);
	sfd = ioctl(vm->vcpu[0].fd, KVM_GET_STATS_FD, 0);
	check(take(to, 999) == EBADF && take(to, -1) == EBADF, "no descriptor is EBADF");
	check(take(to, vm->fd) == EINVAL && take(to, ring_fds.mem) == EINVAL &&
	      take(to, sfd) == EINVAL, "one that is no vCPU's is EINVAL");
	close(sfd);
	check(take(to, to->vcpu[0].fd) == EINVAL, "its own is EINVAL");
	shape.ring /= 2;
	small = vm_create(vm->path, &shape, &ring_fds, &ring_report);
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
	to = vm_create(vm->path, &vm->shape, &ring_fds, &ring_report);
	if (!to)
		exit(1);
	check(take(to, vm->vcpu[0].fd) == 0, "the ring of another VM's vCPU is taken");
	r2 = *r;
	r2.event = -1;
	r2.vcpu = &to->vcpu[0];
	check(ring_stat(&r2, RING_MOVED) == 1 && !ring_stat(r, RING_PUSHED),
	      "its statistics go with it");
	check(take(vm, to->vcpu[0].fd) == 0, "and back");
	n = ring_collect(r, count_page, NULL);
	check(n >= vm->shape.ws_per_cpu / PAGE && ring_reset(r) == (int)n,
	      "with all that was in it");
	vm_destroy(to);
}

int test_beyond(const struct options *o)
{
	struct vm *vm = vm_start(o->dev[0], 2, ENTRIES, 256);
	struct ring r[2];

	result_plan(32);
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
