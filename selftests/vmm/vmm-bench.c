// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm-bench: what exits, interrupts, faults, VMs and passes cost. Meant for a
 * host whose clock counts instructions, where the figures are exact.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm_core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "bench.h"

static const char usage[] =
"usage: vmm-bench [-d DEVICE] [-b DEVICE] [-n N] [-c CPUS] [-l MIB] [PART]...\n"
"\n"
"Prints \"name value\" lines, values in nanoseconds of CLOCK_MONOTONIC. Parts, all\n"
"by default: exits create config pass move faults adopt populate; and session.\n"
"\n"
"  -d, --device DEVICE  KVM to measure (/dev/kvm)\n"
"  -b, --to DEVICE      KVM to pass VMs to (the first)\n"
"  -n, --repeat N       repetitions of what is short (2000)\n"
"  -c, --cpus CPUS      passes of VMs with 1 to so many vCPUs, up to 8 (4)\n"
"  -l, --large MIB      memory of the second row of passes (1024; 0: none)\n"
"  -h, --help\n"
"\n"
"exit_kernel          a CPUID that KVM answers itself\n"
"exit_user            an OUT that userspace answers\n"
"page_fault           the guest's first store to a page that the host has\n"
"irqfd                write to the eventfd, to the guest's next exit after its\n"
"                     handler\n"
"vm_create            KVM_CREATE_VM, KVM_CREATE_VCPU, and closing both\n"
"set_IOCTL            an ioctl that configures a VM or a vCPU, or a pair that\n"
"                     adds and removes\n"
"pass_C_M             a VM of C vCPUs and M MiB: from before the first vCPU is\n"
"                     kicked to the first instruction of any on the target\n"
"pass_all_C_M         to the first instruction of the last of them\n"
"pass_stop_C_M       part of it: all vCPUs out of KVM_RUN\n"
"pass_quiesce_C_M    the irqfds removed, one for each vCPU\n"
"pass_save_C_M       the state read\n"
"pass_restore_C_M    the state set, the irqfds assigned, the vCPUs released\n"
"move_C_M             the same by a handoff, and its stages\n"
"move_C_M_bare        without mapping memory ahead\n"
"adopt_C_M            the same by a VMM in another process, which goes on with it\n"
"session_keep_C       a session of vfio-keepalive made, with memory, a VM and C vCPUs\n"
"session_claim_C      claimed by another process, and all of it taken out\n"
"ahead_KIND           a page of 4 KiB that is mapped ahead by a handoff: of memory in\n"
"                     small pages, in huge ones, or absent\n"
"retire_KIND          the same page when the source's VM is destroyed\n"
"faults_pages         pages of a working set\n"
"faults_mapped        faults until it is mapped again after a handoff\n"
"faults_bare          the same without mapping it ahead\n";
static int bench_exits(const char *dev, unsigned int n)
{
	struct vm_shape shape = {
		.guest = GUEST_bench, .cpus = 1, .mem = 64 << 20,
	};
	static const struct {
		const char	*name;
		enum bench_op	op;
	} ops[] = {
		{ "exit_kernel", BENCH_CPUID },
		{ "exit_user", BENCH_PIO },
		{ "page_fault", BENCH_TOUCH },
	};
	struct vm_report report = { 0 };
	__u64 nothing, took;
	struct vm_fds fds;
	struct meter m;
	struct vm *vm;
	unsigned int i;
	int ret = 1;

	if (vm_fds_make(&shape, &fds))
		return 1;
	vm = bench_start(dev, &shape, &fds, &report, &m);
	if (!vm)
		goto out;
	/* Once to warm up, and for what every measurement has in common. */
	if (bench_measure(&m, BENCH_CPUID, 100, &took) ||
	    bench_measure(&m, BENCH_PIO, 100, &took) ||
	    bench_measure(&m, BENCH_NOTHING, 1, &nothing) ||
	    bench_measure(&m, BENCH_NOTHING, 1, &nothing))
		goto out;
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		fprintf(stderr, "vmm-bench: %s\n", ops[i].name);
		if (bench_measure(&m, ops[i].op, n, &took))
			goto out;
		bench_print(ops[i].name, took - nothing, n);
	}
	fprintf(stderr, "vmm-bench: irqfd\n");
	if (bench_measure(&m, BENCH_IRQ, 20, &took) ||
	    bench_measure(&m, BENCH_IRQ, n + 1, &took))
		goto out;
	bench_print("irqfd", took, n);
	ret = 0;
out:
	vm_destroy(vm);
	vm_fds_close(&fds);
	return ret;
}

static int bench_create(const char *dev)
{
	unsigned int i, n = 20;
	__u64 sum = 0, t;
	int kvm, vm, vcpu;

	fprintf(stderr, "vmm-bench: vm_create\n");
	kvm = open(dev, O_RDWR | O_CLOEXEC);
	if (kvm < 0)
		return vmm_error(errno, "%s", dev) ? 1 : 0;
	for (i = 0; i < n + 2; i++) {
		t = now_ns();
		vm = ioctl(kvm, KVM_CREATE_VM, 0);
		vcpu = vm < 0 ? -1 : ioctl(vm, KVM_CREATE_VCPU, 0);
		if (vcpu < 0) {
			vmm_error(errno, "%s: VM %u", dev, i);
			if (vm >= 0)
				close(vm);
			close(kvm);
			return 1;
		}
		close(vcpu);
		close(vm);
		if (i >= 2)
			sum += now_ns() - t;
	}
	close(kvm);
	bench_print("vm_create", sum, n);
	return 0;
}

/* Parts are named behind the options; without a name, each is wanted. */
static bool wanted(const char *part, int argc, char **argv)
{
	int i;

	for (i = optind; i < argc; i++)
		if (!strcmp(argv[i], part))
			return true;
	return optind == argc;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "device", 1, NULL, 'd' }, { "to", 1, NULL, 'b' },
		{ "repeat", 1, NULL, 'n' }, { "cpus", 1, NULL, 'c' },
		{ "large", 1, NULL, 'l' }, { "help", 0, NULL, 'h' }, { 0 }
	};
	const char *dev = "/dev/kvm", *to = NULL;
	unsigned int n = 2000, cpus = 4, large = 1024;
	int c, ret;

	while ((c = getopt_long(argc, argv, "d:b:n:c:l:h", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			dev = optarg;
			break;
		case 'b':
			to = optarg;
			break;
		case 'n':
			n = strtoul(optarg, NULL, 0);
			break;
		case 'c':
			cpus = strtoul(optarg, NULL, 0);
			break;
		case 'l':
			large = strtoul(optarg, NULL, 0);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	/* BENCH_TOUCH needs a page of 56 MiB for each repetition. */
	if (!n || n > 14000 || cpus > GUEST_MAX_CPUS) {
		fputs(usage, stderr);
		return 2;
	}
	ret = 0;
	if (wanted("exits", argc, argv))
		ret = bench_exits(dev, n);
	if (!ret && wanted("create", argc, argv))
		ret = bench_create(dev);
	if (!ret && wanted("config", argc, argv))
		ret = bench_config(dev);
	if (!ret && wanted("pass", argc, argv))
		ret = bench_passes(dev, to ? to : dev, cpus, large);
	/* Stock KVM has no such thing. */
	if (!to || !strstr(dev, "kvm-"))
		return ret;
	if (!ret && wanted("move", argc, argv))
		ret = bench_moves(dev, to, cpus, large);
	if (!ret && wanted("faults", argc, argv))
		ret = bench_faults(dev, to, false) ?: bench_faults(dev, to, true);
	if (!ret && wanted("adopt", argc, argv))
		ret = bench_adopts(dev, to, cpus, large);
	if (!ret && wanted("populate", argc, argv))
		ret = bench_populate(dev, to);
	/* That needs a module more. */
	if (!ret && optind < argc && wanted("session", argc, argv))
		ret = bench_session(dev, 1) ?: bench_session(dev, cpus);
	return ret;
}
