// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm-posted: a VM goes from one instance to another while a device posts
 * interrupts to its vCPUs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/kvm_core.h>
#include <poster.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <kselftest.h>
#include "vmm-posted.h"

static const char usage[] =
"usage: vmm-posted -a INSTANCE -b INSTANCE [-n MOVES] [-c CPUS] [-F | -p | -x | -u | -A]\n"
"\n"
"Runs a guest on instance a while poster.ko posts interrupts to its vCPUs, and has\n"
"kvm-core move it to b and back. Every interrupt has to arrive once, and none in\n"
"another VM that runs beside it. TAP output.\n"
"\n"
"With -p the guest goes to a new VM by KVM_GET_* and KVM_SET_* instead, whose vCPUs take\n"
"the descriptors of the old ones; with -x also to a new process, and the old one is\n"
"killed. With -u the old VMM knows nothing of descriptors, and its VM is closed: what a\n"
"device has posted until then has to be the new one's. With -A other processes adopt the\n"
"VM, some of them from one that was killed.\n"
"\n"
"  -a, --from INSTANCE  where the VM is created, kvm-intel-1\n"
"  -b, --to INSTANCE    where it goes, kvm-intel-2\n"
"  -n, --moves N        how many moves, to and fro (10)\n"
"  -c, --cpus CPUS      vCPUs, 1 to 8 (2)\n"
"  -s, --steps N        interrupts taken by every vCPU between two moves (20)\n"
"  -t, --stall MS       the stages between stop and commit last longer (2)\n"
"  -F, --fail           before each move, one that fails, at each stage in turn\n"
"  -p, --pass           to a new VM each time; before, one that gives them back\n"
"  -x, --exec           as -p, each VM in a process of its own\n"
"  -u, --unaware        to a new VM each time, whose vCPUs keep their own descriptors\n"
"  -A, --adopt          VMMs, processes of their own, adopt it; with -F, -r: also in vain\n"
"  -r, --refuse INSTANCE  one that does not take posted interrupts: the VM stays\n"
"  -d, --deadline US    longest stop (5000000)\n"
"  -w, --wait SECONDS   patience without any progress (120)\n"
"  -h, --help\n";

static const char * const stages[] = {
	"record", "prepare", "stop", "quiesce", "move", "commit", "retire",
};

bool broken(struct test *t, const char *what, int error)
{
	snprintf(t->why, sizeof(t->why), "%s%s%s", what, error ? ": " : "",
		 error ? strerror(error) : "");
	return false;
}

/* The stages in which the VM stands still. */
static bool stall(unsigned int ms)
{
	return inject_set("quiesce", "stall_ms", ms) && inject_set("move", "stall_ms", ms);
}

/* Number of the VM that this host made last. */
static int newest_vm(void)
{
	DIR *d = opendir("/sys/kernel/kvm_core/vms");
	struct dirent *e;
	int id = 0;

	if (!d)
		return 0;
	while ((e = readdir(d)))
		if (atoi(e->d_name) > id)
			id = atoi(e->d_name);
	closedir(d);
	return id;
}

bool posted_wait_for(struct test *t, struct posted_vmm *v, enum posted_answer want)
{
	enum posted_answer got = posted_answer(v, t->o->patience);

	if (got == want)
		return true;
	snprintf(t->why, sizeof(t->why), "a VMM answers '%c', wanted '%c'",
		 got ? got : '-', want);
	return false;
}

static bool make_vm(struct test *t, struct side *s, const char *instance,
		    const char *guest, unsigned int cpus, bool exec)
{
	struct vm_shape shape = { .cpus = cpus, .mem = GUEST_MIN_MEM };
	static char path[2][64];
	char *p = path[s == &t->beside];

	shape.guest = guest_by_name(guest);
	s->report = mmap(NULL, sizeof(*s->report), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s->report == MAP_FAILED || vm_fds_make(&shape, &s->fds) ||
	    watch_open(&s->w, &shape, &s->fds, s->report))
		return broken(t, "no memory", errno);
	s->w.patience = t->o->patience;
	snprintf(p, sizeof(path[0]), "/dev/%s", instance);
	if (exec)
		return !posted_start(&t->vmm, p, &s->w, NULL, false) &&
		       posted_wait_for(t, &t->vmm, POSTED_MADE);
	s->vm = vm_create(p, &shape, &s->fds, s->report);
	if (!s->vm || vm_boot(s->vm) || vm_assign_irqfds(s->vm))
		return broken(t, "the VM did not start", errno);
	return true;
}

static void end(struct side *s)
{
	vm_destroy(s->vm);
	watch_close(&s->w);
	vm_fds_close(&s->fds);
}

static bool add(struct test *t, struct poster_stream *p, unsigned int cpu)
{
	p->vcpu = cpu;
	p->acks = (unsigned long)t->posted.w.mem + GUEST_ACKS(cpu);
	if (ioctl(t->poster, POSTER_ADD, p))
		return broken(t, "POSTER_ADD", errno);
	return true;
}

static bool add_streams(struct test *t, int vm)
{
	unsigned int i;

	for (i = 0; i < t->o->cpus; i++) {
		struct poster_stream direct = {
			.vm = vm,
			.vector = VEC_POSTED,
			.count = VEC_POSTED_COUNT,
			.eventfd = -1,
		}, device = {
			.vector = VEC_IRQFD,
			.count = 1,
			.eventfd = t->posted.fds.irq[i],
		};

		/* Populates the page that is pinned. */
		VMM_STORE(*(__u64 *)(t->posted.w.mem + GUEST_ACKS(i)), 0);
		/* Who posts to a descriptor itself does not learn of another one. */
		if (!t->o->unaware && !add(t, &direct, i))
			return false;
		if (!add(t, &device, i))
			return false;
	}
	return true;
}

bool get_stats(struct test *t, struct poster_stats *st)
{
	if (ioctl(t->poster, POSTER_STATS, st))
		return broken(t, "POSTER_STATS", errno);
	return true;
}

bool go_on(struct test *t, __u64 steps)
{
	enum watch_result r = watch_steps(&t->posted.w, steps);

	if (r != WATCH_OK) {
		snprintf(t->why, sizeof(t->why), "%s", t->posted.w.why);
		return false;
	}
	/* A guest that takes no interrupt, and fails if one comes. */
	if (watch_steps(&t->beside.w, 1) != WATCH_OK) {
		snprintf(t->why, sizeof(t->why), "the VM beside it: %.300s",
			 t->beside.w.why);
		return false;
	}
	return true;
}

/* With @error, the move is expected to fail so. */
static bool do_move(struct test *t, const char *to, unsigned int stage, int error)
{
	struct kvm_core_move mv = {
		.deadline_us = t->o->deadline,
		.timeout_ms = 60000,
	};
	struct poster_stats st = { 0 };
	int ret;

	snprintf(mv.instance, sizeof(mv.instance), "%s", to);
	ret = ioctl(t->posted.vm->fd, KVM_CORE_VM_MOVE, &mv) ? errno : 0;
	if (ret != error || (error && mv.stage != stage)) {
		snprintf(t->why, sizeof(t->why),
			 "move to %s: stage %u, error %d, wanted %u, %d: %.128s",
			 to, mv.stage, ret, stage, error, mv.reason);
		return false;
	}
	st.since = mv.stopped_at_ns;
	st.until = mv.stopped_at_ns + mv.downtime_ns;
	if (!get_stats(t, &st))
		return false;
	if (mv.attempts)
		t->parked += st.between;
	if (mv.downtime_ns > t->longest)
		t->longest = mv.downtime_ns;
	if (error)
		t->in_vain++;
	else
		t->moves++;
	return true;
}

static bool move_in_vain(struct test *t, const char *to, unsigned int stage)
{
	bool r;

	if (!inject_set(stages[stage], "error", EXDEV))
		return broken(t, "debugfs does not take an error to inject", errno);
	if (t->o->adopt)
		r = posted_adopt_in_vain(t, to, stage, EXDEV);
	else
		r = do_move(t, to, stage, EXDEV) && go_on(t, t->o->steps);
	inject_set(stages[stage], "error", 0);
	return r;
}

bool passed(struct test *t, struct poster_stats *st)
{
	st->until = now_ns();
	if (!get_stats(t, st))
		return false;
	t->parked += st->between;
	if (st->until - st->since > t->longest)
		t->longest = st->until - st->since;
	t->moves++;
	return true;
}

static int take_pi(struct vm *to, struct vm *from)
{
	int fd[GUEST_MAX_CPUS];
	unsigned int i;

	for (i = 0; i < from->shape.cpus; i++)
		fd[i] = from->vcpu[i].fd;
	return posted_take(to, fd);
}

/* Of descriptors that are none to take from, and while the other vCPU runs. */
static bool refuses(struct test *t, struct vm *next)
{
	struct vm *vm = t->posted.vm;
	int v = next->vcpu[0].fd;

	return posted_refused(v, -1, EBADF) && posted_refused(v, v, EINVAL) &&
	       posted_refused(v, vm->fd, EINVAL) && posted_refused(v, t->poster, EINVAL) &&
	       posted_refused(v, vm->vcpu[0].fd, EBUSY);
}

/*
 * All but the descriptors goes by ioctls. They come last, since KVM_SET_LAPIC empties
 * the one that the vCPU has, and before the irqfds, which are posted to them.
 */
static bool pass_to(struct test *t, struct vm *next)
{
	struct vm *vm = t->posted.vm;
	struct vm_state st = { 0 };
	int r;

	r = vm_save(vm, &st) || posted_restore(next, &st) ? EIO : take_pi(next, vm);
	state_free(&st);
	if (r)
		return broken(t, "the VM is not passed", r);
	return true;
}

/* With @in_vain the descriptors go back to where they were. */
static bool do_pass(struct test *t, const char *to, bool in_vain)
{
	struct vm *vm = t->posted.vm, *next;
	struct poster_stats st = { 0 };
	static char path[2][64];
	char *p = path[t->moves % 2];
	unsigned int i;
	int r;

	snprintf(p, sizeof(path[0]), "/dev/%s", to);
	next = vm_create(p, &vm->shape, &vm->fds, t->posted.report);
	if (!next)
		return broken(t, "the target VM was not made", errno);
	if (!refuses(t, next))
		return broken(t, "a vCPU took what it may not", errno);
	st.since = now_ns();
	if (vm_pause(vm))
		return broken(t, "the VM does not stop", 0);
	for (i = 0; i < vm->shape.cpus; i++)
		next->vcpu[i].dev = vm->vcpu[i].dev;
	if (!pass_to(t, next))
		return false;
	if (in_vain) {
		r = take_pi(vm, next);
		vm_destroy(next);
		if (r || vm_resume(vm))
			return broken(t, "the VM does not go on", r);
		t->in_vain++;
		return true;
	}
	if (vm_deassign_irqfds(vm) || vm_assign_irqfds(next) || vm_resume(next))
		return broken(t, "the new VM does not run", 0);
	if (!passed(t, &st))
		return false;
	t->posted.vm = next;
	vm_destroy(vm);
	return true;
}

bool get_counts(struct test *t, unsigned int cpu, bool device, struct poster_counts *c)
{
	*c = (struct poster_counts) { .stream = t->o->unaware ? cpu : 2 * cpu + device };
	return !ioctl(t->poster, POSTER_COUNTS, c) || broken(t, "POSTER_COUNTS", errno);
}

/* One that does not look at descriptors: everything stays. */
static bool pass_refused(struct test *t)
{
	struct vm *vm = t->posted.vm, *next;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/dev/%s", t->o->refuses);
	next = vm_create(path, &vm->shape, &vm->fds, t->posted.report);
	if (!next || vm_pause(vm))
		return broken(t, "no VM that cannot take the descriptors", errno);
	r = take_pi(next, vm);
	vm_destroy(next);
	if (r != EOPNOTSUPP || vm_resume(vm))
		return broken(t, "a KVM without APICv took what is posted", r);
	t->in_vain++;
	return true;
}

/*
 * A VM that has the descriptors ends before it has the interrupts: they are the host's.
 * The one that gave them runs with its own, and none of the hardware's sees memory that
 * went with the other (entry_checks=1 looks at the VMCS).
 */
static bool abandon(struct test *t)
{
	struct kvm_mp_state runs = { .mp_state = KVM_MP_STATE_RUNNABLE };
	struct vm *vm = t->posted.vm, *next;
	struct poster_stats before = { 0 }, after = { 0 };
	unsigned int i;

	next = vm_create(vm->path, &vm->shape, &vm->fds, t->posted.report);
	if (!next || vm_pause(vm) || take_pi(next, vm) || !get_stats(t, &before))
		return broken(t, "no VM that takes the descriptors", errno);
	vm_destroy(next);
	/* None of them stays halted: it enters the guest. */
	for (i = 0; i < vm->shape.cpus; i++)
		if (ioctl(vm->vcpu[i].fd, KVM_SET_MP_STATE, &runs))
			return broken(t, "KVM_SET_MP_STATE", errno);
	if (!get_stats(t, &after) || vm_resume(vm))
		return false;
	usleep(200000);
	if (vm_pause(vm) || t->posted.report->died[0][0])
		return broken(t, "the VM that gave its descriptors does not run on", 0);
	return after.irte_remapped - before.irte_remapped == t->o->cpus &&
	       after.irte_posted == before.irte_posted;
}

static bool run(struct test *t)
{
	const struct options *o = t->o;
	unsigned int i;

	for (i = 0; i < o->moves; i++) {
		const char *to = o->name[(i + 1) % 2];

		if (!go_on(t, o->steps))
			return false;
		if (o->fail && !move_in_vain(t, to, i % KVM_CORE_STAGE_RETIRE))
			return false;
		if (o->refuses && o->adopt &&
		    !posted_adopt_in_vain(t, o->refuses, KVM_CORE_STAGE_PREPARE, EOPNOTSUPP))
			return false;
		if (o->refuses && !o->pass && !o->exec && !o->adopt &&
		    (!do_move(t, o->refuses, KVM_CORE_STAGE_PREPARE, EOPNOTSUPP) ||
		     !go_on(t, o->steps)))
			return false;
		usleep(random() % 3000);
		if (o->unaware) {
			if (!posted_unaware(t, to))
				return false;
		} else if (o->adopt) {
			if (!posted_adopt(t))
				return false;
		} else if (o->pass) {
			if (!do_pass(t, to, true) || !go_on(t, o->steps) ||
			    (o->refuses && (!pass_refused(t) || !go_on(t, o->steps))) ||
			    !do_pass(t, to, false))
				return false;
		} else if (o->exec) {
			if (!posted_over_in_vain(t, to, POSTED_TAKEN) ||
			    (o->refuses && !posted_over_in_vain(t, o->refuses, POSTED_NOT)) ||
			    !posted_over(t, to))
				return false;
		} else if (!do_move(t, to, 0, 0)) {
			return false;
		}
	}
	return go_on(t, o->steps) &&
	       (!o->pass || posted_while_moved(t, o->name[(i + 1) % 2]));
}

/* Which of all 256 vectors differs from what was sent, and was none sent? */
static bool compare(struct test *t, unsigned int cpu, bool *behind)
{
	const __u64 *acks = (void *)(t->posted.w.mem + GUEST_ACKS(cpu));
	__u64 want[256] = { 0 };
	struct poster_counts c;
	unsigned int i, k;

	for (k = t->o->unaware; k < 2; k++) {
		if (!get_counts(t, cpu, k, &c))
			return false;
		memcpy(want + (k ? VEC_IRQFD : VEC_POSTED), c.sent,
		       (k ? 1 : VEC_POSTED_COUNT) * sizeof(*want));
	}
	for (i = 0; i < 256; i++) {
		__u64 got = VMM_LOAD(acks[i]);

		if (got > want[i]) {
			snprintf(t->why, sizeof(t->why),
				 "vCPU %u: vector 0x%x: posted %llu, taken %llu",
				 cpu, i, want[i], got);
			return false;
		}
		if (got < want[i]) {
			*behind = true;
			snprintf(t->why, sizeof(t->why),
				 "vCPU %u: vector 0x%x: posted %llu, taken %llu",
				 cpu, i, want[i], got);
		}
	}
	return true;
}

static bool count(struct test *t)
{
	__u64 until = now_ns() + t->o->patience * 1000000000ull;
	unsigned int i;
	bool behind;

	if (ioctl(t->poster, POSTER_STOP))
		return broken(t, "POSTER_STOP", errno);
	do {
		behind = false;
		t->why[0] = 0;
		usleep(1000);
		for (i = 0; i < t->o->cpus; i++)
			if (!compare(t, i, &behind))
				return false;
	} while (behind && now_ns() < until);
	return !behind;
}

static void judge(struct test *t, bool ran, const struct poster_stats *before)
{
	struct poster_stats st = { 0 };
	__u64 halts = 0, masked = 0, nobody = 0;
	unsigned int i;

	for (i = 0; i < t->o->cpus; i++) {
		halts += vm_cpu_page(t->posted.w.mem, i)->count[1];
		masked += vm_cpu_page(t->posted.w.mem, i)->twice;
		nobody += vm_cpu_page(t->posted.w.mem, i)->count[3];
	}
	ran = ran && count(t);
	get_stats(t, &st);
	ksft_print_msg("posted: %llu, to a CPU %llu (another one %llu), to a halted vCPU %llu\n",
		       st.sent, st.notified, st.other_cpu, st.woken);
	ksft_print_msg("not notified: ON was set %llu, SN was set %llu; not posted %llu\n",
		       st.pending, st.suppressed, st.remapped);
	ksft_print_msg("while the VM stood still: %llu; longest stop %llu us\n",
		       t->parked, t->longest / 1000);
	ksft_print_msg("guest: %llu halts, %llu masked ones delivered, %llu of vector 0xff\n",
		       halts, masked, nobody);
	ksft_print_msg("%u moves (%u of a dead VMM), %u that failed%s%s\n", t->moves, t->killed,
		       t->in_vain, ran ? "" : ": ", t->why);

	ksft_test_result(ran, "every interrupt was taken once, and none by another VM\n");
	ksft_test_result(ran && !st.astray,
			 "every notification went to a CPU, by one of two vectors\n");
	if (t->o->unaware) {
		ksft_test_result(ran && t->late == t->moves,
				 "each time one was posted behind the state\n");
		ksft_test_result(ran && st.irte_posted == t->o->cpus * (t->moves + 1) &&
				 st.irte_remapped - before->irte_remapped == t->o->cpus * t->moves,
				 "each interrupt was remapped once, and posted to the new VM\n");
		return;
	}
	/* Vector 0xff is an answer to a notification that finds nothing. */
	ksft_test_result(ran && st.other_cpu && t->parked && nobody * 50 < st.notified,
			 "posted to vCPUs that run, and that stand still\n");
	ksft_test_result(ran && st.woken && st.suppressed,
			 "posted to halted and to preempted vCPUs\n");
	ksft_test_result(ran && before->irte_posted == t->o->cpus && !st.remapped &&
			 st.irte_posted == before->irte_posted &&
			 st.irte_remapped == before->irte_remapped,
			 "no interrupt of a device was remapped anew, all were posted\n");
}

static bool prepare(struct test *t, struct poster_stats *before)
{
	unsigned int i;
	int vm;

	t->poster = open("/dev/poster", O_RDWR | O_CLOEXEC);
	if (t->poster < 0)
		return broken(t, "/dev/poster", errno);
	if (t->o->adopt ? !posted_adopt_begin(t) :
	    !make_vm(t, &t->posted, t->o->name[0], "posted", t->o->cpus, t->o->exec))
		return false;
	vm = newest_vm();
	if (!make_vm(t, &t->beside, t->o->name[1], "spin", 1, false))
		return false;
	if (!add_streams(t, vm))
		return false;
	/* KVM has had its interrupts posted, or has not. */
	if (!get_stats(t, before))
		return false;
	if (t->o->exec)
		posted_go(&t->vmm);
	if (t->o->exec ? !posted_wait_for(t, &t->vmm, POSTED_RUNS) :
	    !t->o->adopt && vm_resume(t->posted.vm))
		return broken(t, "the VM does not run", 0);
	if (vm_resume(t->beside.vm))
		return broken(t, "the VM beside it does not run", 0);
	/* None before the guest can take it. */
	for (i = 0; i < t->o->cpus; i++)
		while (!VMM_LOAD(vm_cpu_page(t->posted.w.mem, i)->count[2]))
			usleep(1000);
	if (!stall(t->o->stall))
		return broken(t, "debugfs does not take a time to stall", errno);
	if (ioctl(t->poster, POSTER_START))
		return broken(t, "POSTER_START", errno);
	return true;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "from", 1, NULL, 'a' }, { "to", 1, NULL, 'b' },
		{ "moves", 1, NULL, 'n' }, { "cpus", 1, NULL, 'c' },
		{ "steps", 1, NULL, 's' }, { "stall", 1, NULL, 't' },
		{ "fail", 0, NULL, 'F' },
		{ "pass", 0, NULL, 'p' }, { "exec", 0, NULL, 'x' }, { "unaware", 0, NULL, 'u' },
		{ "adopt", 0, NULL, 'A' },
		{ "refuse", 1, NULL, 'r' },
		{ "deadline", 1, NULL, 'd' }, { "wait", 1, NULL, 'w' },
		{ "help", 0, NULL, 'h' }, { 0 }
	};
	struct options o = {
		.cpus = 2,
		.moves = 10,
		.steps = 20,
		.stall = 2,
		.deadline = 5000000,
		.patience = 120,
	};
	struct poster_stats before = { 0 };
	struct test t = { .o = &o, .poster = -1 };
	bool ran;
	int c;

	while ((c = getopt_long(argc, argv, "a:b:n:c:s:t:d:w:r:FpxuAh", longs,
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
		case 'c':
			o.cpus = strtoul(optarg, NULL, 0);
			break;
		case 's':
			o.steps = strtoul(optarg, NULL, 0);
			break;
		case 't':
			o.stall = strtoul(optarg, NULL, 0);
			break;
		case 'd':
			o.deadline = strtoul(optarg, NULL, 0);
			break;
		case 'w':
			o.patience = strtoul(optarg, NULL, 0);
			break;
		case 'F':
			o.fail = true;
			break;
		case 'r':
			o.refuses = optarg;
			break;
		case 'p':
			o.pass = true;
			break;
		case 'x':
			o.exec = true;
			break;
		case 'u':
			o.unaware = true;
			break;
		case 'A':
			o.adopt = true;
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
	ksft_print_header();
	ksft_set_plan(o.unaware ? 5 : o.pass || o.exec ? 7 : 6);
	ran = prepare(&t, &before);
	if (!ran) {
		fprintf(stderr, "vmm-posted: %s\n", t.why);
		return 1;
	}
	ran = run(&t);
	judge(&t, ran, &before);
	if (o.pass || o.exec)
		ksft_test_result(o.exec ? posted_abandon_over(&t) : abandon(&t),
				 "interrupts whose vCPU ends before it has them are the host's\n");
	stall(0);
	close(t.poster);
	if (o.exec)
		posted_kill(&t.vmm);
	if (o.adopt)
		posted_adopt_end(&t);
	else
		end(&t.posted);
	end(&t.beside);
	ksft_test_result(left_nothing(o.name, o.patience), "no VM is left, and nothing of it\n");
	ksft_finished();
}
