// SPDX-License-Identifier: GPL-2.0-only
/* vmm-ring: figures. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "vmm-ring.h"

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

int test_bench(const struct options *o)
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
