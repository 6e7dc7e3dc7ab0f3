// SPDX-License-Identifier: GPL-2.0-only
/* vmm-ring: the limit of the rate. */
#include <errno.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include <kselftest.h>
#include <linux/dirty_ring.h>
#include "vmm-ring.h"

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
	p0 = ring_stat(&l->ring, RING_PUSHED);
	t0 = now_ns();
	c0 = cpu_time(&vm->vcpu[1]);
	n0 = VMM_LOAD(c->count[2]);
	sleep(1);
	p1 = ring_stat(&l->ring, RING_PUSHED);
	t1 = now_ns();
	c1 = cpu_time(&vm->vcpu[1]);
	n1 = VMM_LOAD(c->count[2]);
	*rounds = (n1 - n0) * 1e9 / (c1 - c0);
	*pages = (p1 - p0) * 1e9 / (t1 - t0);
}

int test_limit(const struct options *o)
{
	double alone, beside, full, idle, limited, free_run, wide;
	struct vm *vm = vm_start(o->dev[0], 2, ENTRIES, 4096);
	struct limited l = { 0 };
	pthread_t thread;
	__u64 ns, too_much = 1000000001;

	result_plan(6);
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
	ns = ring_stat(&l.ring, RING_THROTTLED_NS);
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
