// SPDX-License-Identifier: GPL-2.0-only
/* vmm-run: one guest on one device, for a time or a number of steps. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "vmm.h"

static const char usage[] =
"usage: vmm-run [-d DEVICE] -g GUEST [-c CPUS] [-m MIB] [-t SECONDS] [-s STEPS] [-S]\n"
"               [-a FILE] [-w SECONDS]\n"
"\n"
"Runs a guest that verifies itself and ends it in an orderly way.\n"
"\n"
"  -d, --device DEVICE  KVM to run on (/dev/kvm)\n"
"  -g, --guest GUEST    which guest; \"list\" shows all, \"all\" runs all in turn\n"
"  -c, --cpus CPUS      vCPUs, 1 to 8 (1)\n"
"  -m, --memory MIB     memory (32)\n"
"  -t, --time SECONDS   run at least so long (0)\n"
"  -s, --steps STEPS    and at least so many steps of every vCPU (10)\n"
"  -S, --split          split irqchip: only the LAPICs are in the kernel\n"
"  -a, --away FILE      while there is this file, a vCPU that reads from a port does not\n"
"                       come back to KVM_RUN (guest pio)\n"
"  -w, --wait SECONDS   patience without any progress (120)\n"
"  -h, --help\n"
"\n"
"Exit status: 0 all verified, 1 a guest failed, 2 usage, 4 skipped.\n";

struct options {
	const char	*device;
	struct vm_shape	shape;
	__u64		seconds;
	__u64		steps;
	unsigned int	patience;
	const char	*away;
};

static bool stay_away(struct vcpu *v, __u16 port, bool in, void *data)
{
	const struct options *o = v->vm->priv;

	(void)port;
	(void)data;
	/* Of a write KVM has nothing left to do. */
	while (in && !access(o->away, F_OK))
		usleep(10000);
	return false;
}

static enum watch_result watch_run(struct watch *w, const struct options *o)
{
	__u64 start = now_ns(), said = start;
	enum watch_result r;

	r = watch_steps(w, o->steps);
	while (r == WATCH_OK && now_ns() - start < o->seconds * 1000000000ull) {
		r = watch_steps(w, 1);
		if (now_ns() - said > 1000000000ull) {
			said = now_ns();
			fprintf(stderr, "vmm-run: %s: step %llu of vCPU 0\n",
				guest_name(o->shape.guest),
				vm_cpu_page(w->mem, 0)->progress);
		}
	}
	if (r == WATCH_OK)
		r = watch_finish(w);
	return r;
}

static int run(const struct options *o)
{
	struct vm_report report = { 0 };
	enum watch_result r = WATCH_FAIL;
	const char *name = guest_name(o->shape.guest);
	struct watch w = { 0 };
	struct vm_fds fds;
	struct vm *vm;
	unsigned int i;

	if (o->shape.split && guest_needs(o->shape.guest) & GN_FULL) {
		printf("%s: skipped: needs the full irqchip\n", name);
		return 4;
	}
	if (vm_fds_make(&o->shape, &fds))
		return 1;
	vm = vm_create(o->device, &o->shape, &fds, &report);
	if (vm && o->away) {
		vm->on_pio = stay_away;
		vm->priv = (void *)o;
	}
	if (vm && !watch_open(&w, &o->shape, &fds, &report) && !vm_boot(vm) &&
	    !vm_resume(vm)) {
		w.patience = o->patience;
		r = watch_run(&w, o);
		vm_pause(vm);
		if (r == WATCH_OK)
			printf("%s: verified", name);
		else
			printf("%s: %s: %s", name,
			       r == WATCH_SKIP ? "skipped" : "FAILED", w.why);
		for (i = 0; i < o->shape.cpus; i++)
			printf("%s vCPU %u: %llu steps, count %llu", i ? "," : ";",
			       i, vm_cpu_page(w.mem, i)->progress,
			       vm_cpu_page(w.mem, i)->count[0]);
		printf("\n");
	}
	fflush(stdout);
	vm_destroy(vm);
	watch_close(&w);
	vm_fds_close(&fds);
	return r == WATCH_OK ? 0 : r == WATCH_SKIP ? 4 : 1;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "device", 1, NULL, 'd' }, { "guest", 1, NULL, 'g' },
		{ "cpus", 1, NULL, 'c' }, { "memory", 1, NULL, 'm' },
		{ "time", 1, NULL, 't' }, { "steps", 1, NULL, 's' },
		{ "split", 0, NULL, 'S' }, { "away", 1, NULL, 'a' }, { "wait", 1, NULL, 'w' },
		{ "help", 0, NULL, 'h' }, { 0 }
	};
	struct options o = {
		.device = "/dev/kvm",
		.shape = { .cpus = 1, .mem = 32 << 20 },
		.steps = 10,
		.patience = 120,
	};
	const char *guest = NULL;
	int c, id, ret = 0, one;

	while ((c = getopt_long(argc, argv, "d:g:c:m:t:s:a:w:Sh", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			o.device = optarg;
			break;
		case 'g':
			guest = optarg;
			break;
		case 'c':
		case 'm':
		case 'S':
			shape_option(&o.shape, c, optarg);
			break;
		case 't':
			o.seconds = strtoull(optarg, NULL, 0);
			break;
		case 's':
			o.steps = strtoull(optarg, NULL, 0);
			break;
		case 'a':
			o.away = optarg;
			break;
		case 'w':
			o.patience = strtoul(optarg, NULL, 0);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc || !guest) {
		fputs(usage, stderr);
		return 2;
	}
	if (!strcmp(guest, "list")) {
		guests_list();
		return 0;
	}
	if (!strcmp(guest, "all")) {
		for (id = 0; id < GUEST_COUNT; id++) {
			if (guest_needs(id) & GN_BENCH)
				continue;
			o.shape.guest = id;
			one = run(&o);
			if (one == 1 || one == 2)
				ret = 1;
		}
		return ret;
	}
	id = guest_parse(guest);
	if (id < 0)
		return 2;
	o.shape.guest = id;
	return run(&o);
}
