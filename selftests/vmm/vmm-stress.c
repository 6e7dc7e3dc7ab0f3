// SPDX-License-Identifier: GPL-2.0-only
/* vmm-stress: many VMs made, run and destroyed on several KVMs and all CPUs. */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <kselftest.h>
#include "vmm.h"

static const char usage[] =
"usage: vmm-stress -d DEVICE [-d DEVICE]... [-t SECONDS] [-g GUEST[,GUEST...]] [-c CPUS] [-j N]\n"
"\n"
"On each device and each online CPU a thread pinned there makes a VM, lets its\n"
"guest verify itself, stops and starts it once in the middle, passes it to a new\n"
"VM of the next device every fourth time, and destroys it, again and again. TAP\n"
"output, a line for each device.\n"
"\n"
"  -d, --device DEVICE  up to 16 times (/dev/kvm)\n"
"  -t, --time SECONDS   for how long (20)\n"
"  -g, --guest LIST     guests by name, with commas (those that need little time)\n"
"  -c, --cpus CPUS      vCPUs of each VM (1)\n"
"  -j, --jobs N         threads for each device and CPU (1)\n"
"  -s, --steps N        steps of every vCPU of each VM (3)\n"
"  -P, --no-pass        never pass a VM\n"
"  -w, --wait SECONDS   patience without any progress (120)\n"
"  -h, --help\n";

#define MAX_DEVICES	16

struct options {
	const char	*dev[MAX_DEVICES];
	unsigned int	devs;
	struct vm_shape	shape;
	__u64		until;
	unsigned int	steps;
	unsigned int	patience;
	bool		no_pass;
	bool		set[GUEST_COUNT];
};

struct job {
	const struct options *o;
	unsigned int	dev;
	int		cpu;
	unsigned int	seed;
	pthread_t	thread;
	__u64		vms;
	__u64		passes;
	bool		failed;
	char		why[480];
};

static bool stop_all;

static unsigned int pick_guest(struct job *j)
{
	unsigned int g;

	do {
		g = rand_r(&j->seed) % GUEST_COUNT;
	} while (!j->o->set[g]);
	return g;
}

static bool run_vm(struct job *j)
{
	const struct options *o = j->o;
	struct vm_shape shape = o->shape;
	struct vm_report report = { 0 };
	enum watch_result r = WATCH_FAIL;
	struct vm *vm, *next;
	struct watch w = { 0 };
	struct vm_fds fds;

	shape.guest = pick_guest(j);
	if (vm_fds_make(&shape, &fds))
		goto broken;
	vm = vm_create(o->dev[j->dev], &shape, &fds, &report);
	if (!vm || watch_open(&w, &shape, &fds, &report))
		goto gone;
	w.patience = o->patience;
	vm->pin = j->cpu;
	if (vm_boot(vm) || vm_resume(vm))
		goto gone;
	r = watch_steps(&w, o->steps);
	if (r == WATCH_OK) {
		vm_pause(vm);
		vm_resume(vm);
		r = watch_steps(&w, 1);
	}
	if (r == WATCH_OK && !o->no_pass && j->vms % 4 == 3) {
		next = vm_create(o->dev[(j->dev + 1) % o->devs], &shape, &fds,
				 &report);
		if (next)
			next->pin = j->cpu;
		if (!next || vm_pass(vm, next, DAMAGE_NONE, NULL, NULL)) {
			r = WATCH_FAIL;
			snprintf(w.why, sizeof(w.why), "the pass failed");
			vm_destroy(next);
			goto gone;
		}
		vm_destroy(vm);
		vm = next;
		j->passes++;
		r = watch_steps(&w, o->steps);
	}
	/* Half of the VMs are destroyed in full run. */
	if (r == WATCH_OK && j->vms & 1)
		r = watch_finish(&w);
	j->vms++;
gone:
	vm_destroy(vm);
	if (r == WATCH_FAIL)
		snprintf(j->why, sizeof(j->why), "%s on CPU %d: %s",
			 guest_name(shape.guest), j->cpu,
			 w.why[0] ? w.why : "the VM did not start");
	watch_close(&w);
	vm_fds_close(&fds);
	return r != WATCH_FAIL;
broken:
	snprintf(j->why, sizeof(j->why), "no memory for a VM");
	return false;
}

static void *job_main(void *arg)
{
	struct job *j = arg;
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(j->cpu, &set);
	/* The CPU may go offline meanwhile; the kernel then moves the thread. */
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	while (!VMM_LOAD(stop_all) && now_ns() < j->o->until) {
		if (!run_vm(j)) {
			j->failed = true;
			VMM_STORE(stop_all, true);
		}
	}
	return NULL;
}

/* Jobs of one device into its TAP line. */
static void report_device(const struct options *o, unsigned int dev,
			  const struct job *jobs, unsigned int n)
{
	__u64 vms = 0, passes = 0;
	const char *why = NULL;
	unsigned int i;

	for (i = 0; i < n; i++) {
		if (jobs[i].dev != dev)
			continue;
		vms += jobs[i].vms;
		passes += jobs[i].passes;
		if (jobs[i].failed)
			why = jobs[i].why;
	}
	if (why)
		ksft_test_result_fail("%s: after %llu VMs: %s\n", o->dev[dev], vms, why);
	else if (!vms)
		ksft_test_result_fail("%s: not one VM was done in the time\n",
				      o->dev[dev]);
	else
		ksft_test_result_pass("%s: %llu VMs, %llu passed on\n", o->dev[dev],
				      vms, passes);
}

static int run_jobs(struct options *o, unsigned int jobs_per, __u64 seconds)
{
	unsigned int i, d, k, n = 0, started = 0;
	cpu_set_t online;
	struct job *jobs;
	__u64 said;
	int cpu;

	if (sched_getaffinity(0, sizeof(online), &online))
		return vmm_error(errno, "sched_getaffinity") ? 1 : 0;
	jobs = calloc((size_t)o->devs * jobs_per * CPU_COUNT(&online), sizeof(*jobs));
	if (!jobs)
		return vmm_error(ENOMEM, "jobs") ? 1 : 0;
	ksft_print_header();
	ksft_set_plan(o->devs);
	o->until = now_ns() + seconds * 1000000000ull;
	for (d = 0; d < o->devs; d++)
		for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
			for (k = 0; CPU_ISSET(cpu, &online) && k < jobs_per; k++) {
				jobs[n].o = o;
				jobs[n].dev = d;
				jobs[n].cpu = cpu;
				jobs[n].seed = n + 1;
				n++;
			}
	for (i = 0; i < n; i++) {
		int err = pthread_create(&jobs[i].thread, NULL, job_main, &jobs[i]);

		if (err) {
			vmm_error(err, "thread %u of %u", i, n);
			VMM_STORE(stop_all, true);
			jobs[i].failed = true;
			snprintf(jobs[i].why, sizeof(jobs[i].why), "no thread");
			break;
		}
		started++;
	}
	for (said = now_ns(); !VMM_LOAD(stop_all) && now_ns() < o->until;) {
		__u64 vms = 0;

		usleep(100000);
		if (now_ns() - said < 2000000000ull)
			continue;
		said = now_ns();
		for (i = 0; i < n; i++)
			vms += VMM_LOAD(jobs[i].vms);
		fprintf(stderr, "vmm-stress: %llu VMs\n", vms);
	}
	for (i = 0; i < started; i++)
		pthread_join(jobs[i].thread, NULL);
	for (d = 0; d < o->devs; d++)
		report_device(o, d, jobs, n);
	free(jobs);
	ksft_finished();
	return 1;
}

/* These make steps in a few milliseconds on the slowest host. */
static void set_default_guests(bool set[GUEST_COUNT])
{
	static const int quick[] = {
		GUEST_spin, GUEST_regs, GUEST_timer_oneshot, GUEST_timer_x2apic,
		GUEST_mem, GUEST_fpu, GUEST_debug, GUEST_msr, GUEST_tsc,
		GUEST_pio, GUEST_mmio, GUEST_ipi, GUEST_irqfd_msi, GUEST_irqfd_pin,
		GUEST_pending, GUEST_nmi,
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(quick); i++)
		set[quick[i]] = true;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "device", 1, NULL, 'd' }, { "time", 1, NULL, 't' },
		{ "guest", 1, NULL, 'g' }, { "cpus", 1, NULL, 'c' },
		{ "jobs", 1, NULL, 'j' }, { "steps", 1, NULL, 's' },
		{ "no-pass", 0, NULL, 'P' }, { "wait", 1, NULL, 'w' },
		{ "help", 0, NULL, 'h' }, { 0 }
	};
	struct options o = {
		.shape = { .cpus = 1, .mem = 32 << 20, .ws_per_cpu = 256 << 10 },
		.steps = 3,
		.patience = 120,
	};
	__u64 seconds = 20;
	unsigned int jobs = 1;
	bool named = false;
	int c;

	while ((c = getopt_long(argc, argv, "d:t:g:c:j:s:w:Ph", longs, NULL)) != -1) {
		switch (c) {
		case 'd':
			if (o.devs == MAX_DEVICES) {
				vmm_error(0, "at most %d devices", MAX_DEVICES);
				return 2;
			}
			o.dev[o.devs++] = optarg;
			break;
		case 't':
			seconds = strtoull(optarg, NULL, 0);
			break;
		case 'g':
			if (guests_parse(optarg, o.set) < 0)
				return 2;
			named = true;
			break;
		case 'c':
			shape_option(&o.shape, c, optarg);
			break;
		case 'j':
			jobs = strtoul(optarg, NULL, 0);
			break;
		case 's':
			o.steps = strtoul(optarg, NULL, 0);
			break;
		case 'P':
			o.no_pass = true;
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
	if (optind < argc || !jobs) {
		fputs(usage, stderr);
		return 2;
	}
	if (!o.devs)
		o.dev[o.devs++] = "/dev/kvm";
	if (!named)
		set_default_guests(o.set);
	return run_jobs(&o, jobs, seconds);
}
