// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a page of guest memory costs before the stop, when it is mapped ahead, and behind
 * it, when the source's VM goes: a VM with and without a memslot more. Its vCPUs are not in
 * KVM_RUN, so that stages have the host's CPU to themselves.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include "bench.h"

#define HUGE	0x200000ull
#define GPA	0x100000000ull
#define SLOT	1

enum kind { NONE, ABSENT, SMALL, HUGE_PAGES };

struct slot {
	char	*map;		/* of 2 MiB more than the memslot */
	__u64	size;
	char	*mem;
};

static int slot_map(struct slot *s, enum kind kind)
{
	int advice = kind == HUGE_PAGES ? MADV_HUGEPAGE : MADV_NOHUGEPAGE;

	s->map = mmap(NULL, s->size + HUGE, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->map == MAP_FAILED)
		return vmm_error(errno, "memory of the memslot");
	s->mem = (char *)(((unsigned long)s->map + HUGE - 1) & -HUGE);
	if (madvise(s->mem, s->size, advice) ||
	    (kind != ABSENT && madvise(s->mem, s->size, MADV_POPULATE_WRITE)))
		return vmm_error(errno, "madvise");
	return 0;
}

static int slot_set(struct vm *vm, const struct slot *s)
{
	struct kvm_userspace_memory_region region = {
		.slot = SLOT, .guest_phys_addr = GPA, .memory_size = s->size,
		.userspace_addr = (unsigned long)s->mem,
	};

	if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region))
		return vmm_error(errno, "memslot");
	return 0;
}

static int one_move(struct vm *vm, const char *to, struct kvm_core_move *mv)
{
	memset(mv, 0, sizeof(*mv));
	snprintf(mv->instance, sizeof(mv->instance), "%s", to);
	mv->deadline_us = 10000000;
	mv->timeout_ms = 600000;
	if (ioctl(vm->fd, KVM_CORE_VM_MOVE, mv))
		return vmm_error(errno, "move to %s: %.128s", to, mv->reason);
	return 0;
}

/* The second of two moves: in the first, the source's pages are not all mapped. */
static int moves(struct vm *vm, const char *from, const char *to, enum kind kind,
		 __u64 size, struct kvm_core_move *mv)
{
	struct slot s = { .size = size };
	int ret;

	if (kind != NONE && (slot_map(&s, kind) || slot_set(vm, &s)))
		return 1;
	ret = one_move(vm, to, mv) || one_move(vm, from, mv);
	if (!ret && kind >= SMALL && mv->populated < size / 4096)
		ret = vmm_error(0, "%llu pages were mapped ahead",
				(unsigned long long)mv->populated) != 0;
	if (kind == NONE)
		return ret;
	s.size = 0;
	ret |= slot_set(vm, &s);
	munmap(s.map, size + HUGE);
	return ret;
}

static void print_more(const char *line, const struct kvm_core_move *with,
		       const struct kvm_core_move *without, int stage, __u64 size)
{
	__s64 more = with->stage_ns[stage] - without->stage_ns[stage];

	bench_print(line, more > 0 ? more : 0, size / 4096);
}

int bench_populate(const char *dev, const char *to_dev)
{
	static const char * const name[] = {
		[ABSENT] = "absent", [SMALL] = "small", [HUGE_PAGES] = "huge",
	};
	/* What is absent costs little, and nothing bounds it. */
	static const __u64 size[] = {
		[ABSENT] = 1ull << 38, [SMALL] = 1ull << 30, [HUGE_PAGES] = 1ull << 30,
	};
	const char *from = strrchr(dev, '/') + 1, *to = strrchr(to_dev, '/') + 1;
	struct vm_shape shape = {
		.guest = GUEST_bench, .cpus = 1, .mem = 64 << 20,
	};
	struct vm_report report = { 0 };
	struct kvm_core_move without, mv;
	struct vm_fds fds;
	char line[48];
	struct meter m;
	enum kind kind;
	struct vm *vm;
	int ret = 1;

	fprintf(stderr, "vmm-bench: pages mapped ahead\n");
	if (vm_fds_make(&shape, &fds))
		return 1;
	vm = bench_start(dev, &shape, &fds, &report, &m);
	if (!vm || bench_wait_ready(&m))
		goto out;
	vm_pause(vm);
	if (moves(vm, from, to, NONE, 0, &without))
		goto out;
	for (kind = ABSENT; kind <= HUGE_PAGES; kind++) {
		if (moves(vm, from, to, kind, size[kind], &mv))
			goto out;
		snprintf(line, sizeof(line), "ahead_%s", name[kind]);
		print_more(line, &mv, &without, KVM_CORE_STAGE_PREPARE, size[kind]);
		snprintf(line, sizeof(line), "retire_%s", name[kind]);
		print_more(line, &mv, &without, KVM_CORE_STAGE_RETIRE, size[kind]);
	}
	ret = 0;
out:
	vm_destroy(vm);
	vm_fds_close(&fds);
	return ret;
}
