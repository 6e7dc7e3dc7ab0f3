// SPDX-License-Identifier: GPL-2.0-only
/* VMs that are passed by userspace, and moved by kvm-core. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "bench.h"

static int wait_epoch(struct vm *vm)
{
	__u32 want = vm_shared(vm->mem)->epoch;
	__u64 start = now_ns();
	unsigned int i;

	for (i = 0; i < vm->shape.cpus; i++)
		while (VMM_LOAD(vm_cpu_page(vm->mem, i)->epoch) != want) {
			if (now_ns() - start > 300000000000ull)
				return vmm_error(ETIMEDOUT, "vCPU %u did not go on", i);
			usleep(1000);
		}
	return 0;
}

static int one_pass(struct vm *vm, struct vm *to, struct meter *m, bool show)
{
	struct vm_state st = { 0 };
	__u64 t0, stopped, quiet, saved, restored, tsc0, offset = 0, first = ~0ull, last = 0;
	__u64 khz = vm_shared(vm->mem)->tsc_khz;
	char name[64];
	unsigned int i, c = vm->shape.cpus, mib = vm->shape.mem >> 20;

	to->priv = m;
	to->on_pio = bench_on_pio;
	t0 = now_ns();
	tsc0 = bench_host_tsc();
	vm_pause(vm);
	stopped = now_ns();
	if (bench_tsc_offset(&vm->vcpu[0], &offset) || vm_deassign_irqfds(vm))
		return 1;
	quiet = now_ns();
	if (vm_save(vm, &st))
		return 1;
	saved = now_ns();
	if (vm_restore_and_run(to, &st, DAMAGE_NONE))
		return 1;
	restored = now_ns();
	m->vm = to;
	if (wait_epoch(to))
		return 1;
	tsc0 += offset;
	for (i = 0; i < c; i++) {
		__u64 at = vm_cpu_page(to->mem, i)->gap_to;

		first = at < first ? at : first;
		last = at > last ? at : last;
	}
	state_free(&st);
	if (!show)
		return 0;
	snprintf(name, sizeof(name), "pass_%u_%u", c, mib);
	bench_print(name, (first - tsc0) * 1000000 / khz, 1);
	snprintf(name, sizeof(name), "pass_all_%u_%u", c, mib);
	bench_print(name, (last - tsc0) * 1000000 / khz, 1);
	snprintf(name, sizeof(name), "pass_stop_%u_%u", c, mib);
	bench_print(name, stopped - t0, 1);
	snprintf(name, sizeof(name), "pass_quiesce_%u_%u", c, mib);
	bench_print(name, quiet - stopped, 1);
	snprintf(name, sizeof(name), "pass_save_%u_%u", c, mib);
	bench_print(name, saved - quiet, 1);
	snprintf(name, sizeof(name), "pass_restore_%u_%u", c, mib);
	bench_print(name, restored - saved, 1);
	return 0;
}

static int bench_pass(const char *from, const char *to, unsigned int cpus,
		      unsigned int mib)
{
	struct vm_shape shape = {
		.guest = GUEST_bench, .cpus = cpus, .mem = (__u64)mib << 20,
	};
	struct vm_report report = { 0 };
	struct vm *vm, *next;
	struct vm_fds fds;
	struct meter m;
	int ret = 1, i;

	fprintf(stderr, "vmm-bench: pass, %u vCPUs, %u MiB\n", cpus, mib);
	if (vm_fds_make(&shape, &fds))
		return 1;
	vm = bench_start(from, &shape, &fds, &report, &m);
	if (!vm || bench_wait_ready(&m))
		goto out;
	/* Forth, back, and the second time forth is the one shown. */
	for (i = 0; i < 3; i++) {
		usleep(20000);
		next = vm_create(i & 1 ? from : to, &shape, &fds, &report);
		if (!next)
			goto out;
		ret = one_pass(vm, next, &m, i == 2);
		vm_destroy(vm);
		vm = next;
		if (ret)
			goto out;
	}
out:
	vm_destroy(vm);
	vm_fds_close(&fds);
	return ret;
}

static int one_move(struct vm *vm, const char *to, struct kvm_core_move *mv,
		    unsigned int flags)
{
	memset(mv, 0, sizeof(*mv));
	snprintf(mv->instance, sizeof(mv->instance), "%s", to);
	mv->deadline_us = 10000000;
	mv->timeout_ms = 600000;
	mv->flags = flags;
	if (ioctl(vm->fd, KVM_CORE_VM_MOVE, mv))
		return vmm_error(errno, "move to %s: %.128s", to, mv->reason);
	return 0;
}

/* Memslots that nobody looks into, above the memory. */
static int more_slots(struct vm *vm, unsigned int n)
{
	void *mem = mmap(NULL, 0x10000, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct kvm_userspace_memory_region slot = {
			.slot = i + 1,
			.guest_phys_addr = 0x100000000ull + i * 0x10000ull,
			.memory_size = 0x10000,
			.userspace_addr = (unsigned long)mem,
		};

		if (ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &slot))
			return vmm_error(errno, "memslot %u", i + 1);
	}
	return 0;
}

static int bench_move(const char *dev, const char *to_dev, unsigned int cpus,
		      unsigned int mib, unsigned int slots, bool bare)
{
	const char *from = strrchr(dev, '/') + 1, *to = strrchr(to_dev, '/') + 1;
	struct vm_shape shape = {
		.guest = GUEST_bench, .cpus = cpus, .mem = (__u64)mib << 20,
	};
	struct vm_report report = { 0 };
	struct kvm_core_move mv;
	struct vm_fds fds;
	char name[48];
	struct meter m;
	struct vm *vm;
	int ret = 1, i;

	fprintf(stderr, "vmm-bench: move, %u vCPUs, %u MiB, %u memslots%s\n", cpus,
		mib, slots + 1, bare ? ", not mapped ahead" : "");
	if (vm_fds_make(&shape, &fds))
		return 1;
	vm = bench_start(dev, &shape, &fds, &report, &m);
	if (!vm || bench_wait_ready(&m) || more_slots(vm, slots))
		goto out;
	/* Forth, back, and the second time forth is the one shown. */
	for (i = 0; i < 3; i++) {
		usleep(20000);
		ret = one_move(vm, i & 1 ? from : to, &mv,
			       bare ? KVM_CORE_MOVE_NO_POPULATE : 0);
		if (ret)
			goto out;
	}
	snprintf(name, sizeof(name), "move_%u_%u%s%s", cpus, mib,
		 slots ? "_slots" : "", bare ? "_bare" : "");
	ret = bench_show_move(vm, &mv, name);
out:
	vm_destroy(vm);
	vm_fds_close(&fds);
	return ret;
}

/* The vCPU stops for it. */
static int vcpu_stat(struct vcpu *v, const char *name, __u64 *value)
{
	int ret;

	vm_pause(v->vm);
	ret = stat_read(v->fd, name, value);
	return vm_resume(v->vm) ? 1 : ret;
}

/* Faults of a guest that goes through its working set again after a handoff. */
int bench_faults(const char *dev, const char *to_dev, bool bare)
{
	const char *to = strrchr(to_dev, '/') + 1;
	struct vm_shape shape = {
		.guest = GUEST_bench, .cpus = 1, .mem = 64 << 20,
	};
	const unsigned int pages = 14000;
	struct vm_report report = { 0 };
	struct kvm_core_move mv;
	__u64 took, before = 0, faults = 0;
	struct vm_fds fds;
	struct meter m;
	struct vm *vm;
	int ret = 1;

	fprintf(stderr, "vmm-bench: faults after a move%s\n",
		bare ? ", not mapped ahead" : "");
	if (vm_fds_make(&shape, &fds))
		return 1;
	vm = bench_start(dev, &shape, &fds, &report, &m);
	if (!vm || bench_measure(&m, BENCH_TOUCH, pages, &took) ||
	    vcpu_stat(&vm->vcpu[0], "pf_taken", &before) ||
	    one_move(vm, to, &mv, bare ? KVM_CORE_MOVE_NO_POPULATE : 0) ||
	    bench_measure(&m, BENCH_AGAIN, pages, &took) ||
	    vcpu_stat(&vm->vcpu[0], "pf_taken", &faults))
		goto out;
	if (!bare)
		bench_print("faults_pages", pages, 1);
	bench_print(bare ? "faults_bare" : "faults_mapped", faults - before, 1);
	ret = 0;
out:
	vm_destroy(vm);
	vm_fds_close(&fds);
	return ret;
}

int bench_passes(const char *dev, const char *to, unsigned int cpus,
		 unsigned int large)
{
	unsigned int i;
	int ret = 0;

	for (i = 1; !ret && i <= cpus; i++)
		ret = bench_pass(dev, to, i, 64);
	for (i = 1; !ret && large && i <= cpus; i++)
		ret = bench_pass(dev, to, i, large);
	return ret;
}

int bench_moves(const char *dev, const char *to, unsigned int cpus,
		unsigned int large)
{
	unsigned int i;
	int ret = 0;

	for (i = 1; !ret && i <= cpus; i++)
		ret = bench_move(dev, to, i, 64, 0, false);
	if (!ret && large)
		ret = bench_move(dev, to, 1, large, 0, false);
	if (!ret)
		ret = bench_move(dev, to, 1, 64, 500, false);
	if (!ret)
		ret = bench_move(dev, to, 1, 64, 0, true);
	return ret;
}
