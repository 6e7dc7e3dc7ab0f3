// SPDX-License-Identifier: GPL-2.0-only
/* vmm-move: running guests go from one instance to another, by kvm-core. */
#include <errno.h>
#include <getopt.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <kselftest.h>
#include "vmm.h"

static const char usage[] =
"usage: vmm-move -a INSTANCE -b INSTANCE [-n MOVES] [-g GUEST[,GUEST...]] [-c CPUS] [-m MIB] [-S]\n"
"\n"
"Runs guests on instance a, and has kvm-core move them to b and back while they\n"
"run and verify themselves. The VMM takes no part but asking for it. TAP output,\n"
"a line for each guest.\n"
"\n"
"  -a, --from INSTANCE  where the VM is created, kvm-amd-1\n"
"  -b, --to INSTANCE    where it goes, kvm-amd-2\n"
"  -n, --moves N        how many moves, to and fro (10)\n"
"  -g, --guest LIST     guests by name, with commas; all (the default)\n"
"  -c, --cpus CPUS      vCPUs, 1 to 8 (2)\n"
"  -m, --memory MIB     memory (32)\n"
"  -s, --steps N        steps of every vCPU between two moves (3)\n"
"  -S, --split          split irqchip: only the LAPICs are in the kernel\n"
"  -P, --no-populate    do not map memory ahead\n"
"  -F, --fail           before each move, one that fails, at each stage in turn\n"
"  -H, --held COMMAND   while a VM stands still between the two, in stage move, give\n"
"                       COMMAND FROM TO to the shell; it fails the guest\n"
"  -d, --deadline US    longest stop (5000000)\n"
"  -v, --verbose        a line for each move: ns of each stage and of the stop\n"
"  -w, --wait SECONDS   patience without any progress (120)\n"
"  -h, --help\n";

struct options {
	const char	*name[2];
	struct vm_shape	shape;
	unsigned int	moves;
	unsigned int	steps;
	unsigned int	patience;
	unsigned int	deadline;
	unsigned int	flags;
	bool		verbose;
	bool		fail;
	const char	*held;
};

struct sums {
	__u64	downtime;
	__u64	longest;
	__u64	attempts;
};

static enum watch_result broken(struct watch *w, const char *what)
{
	snprintf(w->why, sizeof(w->why), "%s", what);
	return WATCH_FAIL;
}

static const char * const stages[] = {
	"record", "prepare", "stop", "quiesce", "move", "commit", "retire",
};

static void show(const struct kvm_core_move *mv, const char *to)
{
	char line[200];
	unsigned int i;
	int n = 0;

	for (i = 0; i < ARRAY_SIZE(stages); i++)
		n += snprintf(line + n, sizeof(line) - n, " %s %llu,", stages[i],
			      mv->stage_ns[i]);
	ksft_print_msg("%s to %s:%s stopped %llu ns\n", mv->from, to, line,
		       mv->downtime_ns);
}

struct mover {
	struct vm		*vm;
	struct kvm_core_move	*mv;
	int			ret, error, done;
};

static void *move_thread(void *arg)
{
	struct mover *m = arg;

	m->ret = ioctl(m->vm->fd, KVM_CORE_VM_MOVE, m->mv);
	m->error = errno;
	VMM_STORE(m->done, 1);
	return NULL;
}

/* As the ioctl, with a command at the end of stage move. */
static int move_held(const struct options *o, struct watch *w, struct vm *vm,
		     struct kvm_core_move *mv, const char *from)
{
	struct mover m = { .vm = vm, .mv = mv };
	char command[256];
	pthread_t thread;
	int status = 0;

	if (!inject_set("move", "hold", 1) ||
	    pthread_create(&thread, NULL, move_thread, &m)) {
		snprintf(mv->reason, sizeof(mv->reason), "no handoff can be held");
		return -1;
	}
	while (!VMM_LOAD(m.done) && !inject_held("move"))
		usleep(1000);
	if (!VMM_LOAD(m.done)) {
		snprintf(command, sizeof(command), "%s %s %s", o->held, from,
			 mv->instance);
		fflush(NULL);
		status = system(command);
	}
	inject_set("move", "hold", 0);
	pthread_join(thread, NULL);
	if (status)
		snprintf(w->why, sizeof(w->why), "%s", command);
	errno = m.error;
	return m.ret;
}

static enum watch_result move_to(const struct options *o, struct watch *w,
				 struct vm *vm, const char *from, const char *to,
				 struct sums *sums)
{
	struct kvm_core_move mv = {
		.deadline_us = o->deadline,
		.timeout_ms = 60000,
		.flags = o->flags,
	};
	struct guest_shared *sh = vm_shared(vm->mem);

	snprintf(mv.instance, sizeof(mv.instance), "%s", to);
	w->why[0] = '\0';
	if (o->held ? move_held(o, w, vm, &mv, from) :
		      ioctl(vm->fd, KVM_CORE_VM_MOVE, &mv)) {
		snprintf(w->why, sizeof(w->why),
			 "move to %s: stage %u: %.128s (%s, %u attempts)",
			 to, mv.stage, mv.reason, strerror(errno), mv.attempts);
		watch_explain(w);
		return WATCH_FAIL;
	}
	if (w->why[0])
		return WATCH_FAIL;
	if (o->verbose)
		show(&mv, to);
	VMM_STORE(sh->passes, sh->passes + 1);
	VMM_STORE(sh->epoch, sh->epoch + 1);
	sums->downtime += mv.downtime_ns;
	sums->attempts += mv.attempts;
	if (mv.downtime_ns > sums->longest)
		sums->longest = mv.downtime_ns;
	return WATCH_OK;
}

static bool fail_stage(unsigned int stage, unsigned int error)
{
	return inject_set(stages[stage], "error", error);
}

/* The VM stays where it is, and the reason names the stage. */
static enum watch_result move_in_vain(const struct options *o, struct watch *w,
				      struct vm *vm, const char *to,
				      unsigned int stage)
{
	struct kvm_core_move mv = {
		.deadline_us = o->deadline,
		.timeout_ms = 60000,
	};
	int ret, error;

	snprintf(mv.instance, sizeof(mv.instance), "%s", to);
	if (!fail_stage(stage, EXDEV))
		return broken(w, "debugfs does not take an error to inject");
	ret = ioctl(vm->fd, KVM_CORE_VM_MOVE, &mv);
	error = errno;
	fail_stage(stage, 0);
	if (!ret)
		return broken(w, "a move that was to fail did not");
	if (error != EXDEV || mv.stage != stage || mv.error != EXDEV ||
	    strcmp(mv.reason, "asked for in debugfs")) {
		snprintf(w->why, sizeof(w->why),
			 "failed as %d in stage %u, not as %d in %u: %.128s (%u attempts)",
			 error, mv.stage, EXDEV, stage, mv.reason, mv.attempts);
		watch_explain(w);
		return WATCH_FAIL;
	}
	return WATCH_OK;
}

static enum watch_result run(const struct options *o, struct watch *w,
			     struct sums *sums)
{
	enum watch_result r = WATCH_OK;
	char path[64];
	struct vm *vm;
	unsigned int i;

	snprintf(path, sizeof(path), "/dev/%s", o->name[0]);
	vm = vm_create(path, &w->shape, &w->fds, w->report);
	if (!vm || vm_boot(vm) || vm_resume(vm)) {
		vm_destroy(vm);
		return broken(w, "the VM did not start");
	}
	for (i = 0; r == WATCH_OK && i < o->moves; i++) {
		r = watch_steps(w, o->steps);
		if (r == WATCH_OK && o->fail) {
			r = move_in_vain(o, w, vm, o->name[(i + 1) % 2],
					 i % KVM_CORE_STAGE_RETIRE);
			if (r == WATCH_OK)
				r = watch_steps(w, o->steps);
		}
		/* Any phase of a guest's loop may meet the move. */
		usleep(random() % 3000);
		if (r == WATCH_OK)
			r = move_to(o, w, vm, o->name[i % 2],
				    o->name[(i + 1) % 2], sums);
	}
	if (r == WATCH_OK)
		r = watch_steps(w, o->steps);
	if (r == WATCH_OK)
		r = watch_finish(w);
	vm_destroy(vm);
	return r;
}

/* Runs one guest and prints its TAP line. */
static void test_guest(const struct options *o, unsigned int guest)
{
	const char *name = guest_name(guest);
	struct vm_shape shape = o->shape;
	enum watch_result r = WATCH_FAIL;
	struct vm_report *report;
	struct sums sums = { 0 };
	struct watch w = { 0 };
	struct vm_fds fds;
	unsigned int n;

	fprintf(stderr, "vmm-move: %s\n", name);
	shape.guest = guest;
	if (shape.split && guest_needs(guest) & GN_FULL) {
		ksft_test_result_skip("%s: needs the full irqchip\n", name);
		return;
	}
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (report == MAP_FAILED || vm_fds_make(&shape, &fds)) {
		ksft_test_result_fail("%s: no memory\n", name);
		return;
	}
	if (!watch_open(&w, &shape, &fds, report)) {
		w.patience = o->patience;
		w.in_place = true;
		r = run(o, &w, &sums);
	}
	n = w.mem ? vm_shared(w.mem)->passes : 0;
	if (r == WATCH_SKIP)
		ksft_test_result_skip("%s: %s\n", name, w.why);
	else if (r == WATCH_OK)
		ksft_test_result_pass("%s: %u moves, %llu us, at most %llu; %llu stops\n",
				      name, n, n ? sums.downtime / n / 1000 : 0,
				      sums.longest / 1000, sums.attempts);
	else
		ksft_test_result_fail("%s: after %u moves: %s\n", name, n, w.why);
	fflush(stdout);
	watch_close(&w);
	vm_fds_close(&fds);
	munmap(report, sizeof(*report));
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "from", 1, NULL, 'a' }, { "to", 1, NULL, 'b' },
		{ "moves", 1, NULL, 'n' }, { "guest", 1, NULL, 'g' },
		{ "cpus", 1, NULL, 'c' }, { "memory", 1, NULL, 'm' },
		{ "steps", 1, NULL, 's' }, { "split", 0, NULL, 'S' },
		{ "no-populate", 0, NULL, 'P' }, { "deadline", 1, NULL, 'd' },
		{ "fail", 0, NULL, 'F' }, { "held", 1, NULL, 'H' },
		{ "wait", 1, NULL, 'w' },
		{ "verbose", 0, NULL, 'v' }, { "help", 0, NULL, 'h' }, { 0 }
	};
	struct options o = {
		.shape = { .cpus = 2, .mem = 32 << 20 },
		.moves = 10,
		.steps = 3,
		.patience = 120,
		.deadline = 5000000,
	};
	bool set[GUEST_COUNT] = { 0 };
	char all[] = "all", *guests = all;
	unsigned int i;
	int c, n;

	while ((c = getopt_long(argc, argv, "a:b:n:g:c:m:s:d:w:H:FSPvh", longs,
				NULL)) != -1) {
		switch (c) {
		case 'a':
			o.name[0] = optarg;
			break;
		case 'b':
			o.name[1] = optarg;
			break;
		case 'n':
			o.moves = strtoul(optarg, NULL, 0);
			break;
		case 'g':
			guests = optarg;
			break;
		case 'c':
		case 'm':
		case 'S':
			shape_option(&o.shape, c, optarg);
			break;
		case 's':
			o.steps = strtoul(optarg, NULL, 0);
			break;
		case 'd':
			o.deadline = strtoul(optarg, NULL, 0);
			break;
		case 'w':
			o.patience = strtoul(optarg, NULL, 0);
			break;
		case 'P':
			o.flags |= KVM_CORE_MOVE_NO_POPULATE;
			break;
		case 'F':
			o.fail = true;
			break;
		case 'H':
			o.held = optarg;
			break;
		case 'v':
			o.verbose = true;
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc || !o.name[0] || !o.name[1]) {
		fputs(usage, stderr);
		return 2;
	}
	n = guests_parse(guests, set);
	if (n < 0)
		return 2;
	ksft_print_header();
	ksft_set_plan(n);
	for (i = 0; i < GUEST_COUNT; i++)
		if (set[i])
			test_guest(&o, i);
	ksft_finished();
}
