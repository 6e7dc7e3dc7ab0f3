// SPDX-License-Identifier: GPL-2.0-only
/* vmm-ring: dirty rings, by what a VMM can see of them. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <kselftest.h>
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

struct vm_report ring_report;
struct vm_fds ring_fds;

struct vm *vm_start(const char *dev, unsigned int cpus, unsigned int ring,
		    unsigned int pages)
{
	struct vm_shape shape = {
		.guest = GUEST_dirty, .cpus = cpus, .mem = 64 << 20, .ring = ring,
		.ws_per_cpu = (__u64)pages * PAGE,
	};
	struct vm *vm;

	if (vm_fds_make(&shape, &ring_fds))
		exit(1);
	vm = vm_create(dev, &shape, &ring_fds, &ring_report);
	if (!vm || vm_boot(vm))
		exit(1);
	return vm;
}

void vm_end(struct vm *vm)
{
	vm_destroy(vm);
	vm_fds_close(&ring_fds);
}

struct vm *vm_twin(const struct vm *vm)
{
	struct vm *twin = vm_create(vm->path, &vm->shape, &vm->fds, &ring_report);

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

__u64 ring_stat(struct ring *r, enum ring_stat s)
{
	__u64 value[RING_STATS] = { 0 };

	ring_stats(r, value);
	return value[s];
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

/* Each vCPU writes all its pages once; then none is left to be pushed. */
void write_all(struct vm *vm, __u32 op)
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
			result_bail("%s ended early\n", tests[i].name);
		result_finish();
	}
	fputs(usage, stderr);
	return 2;
}
