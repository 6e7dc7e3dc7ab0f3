// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm-replace: the VMM is replaced, and killed, under a guest with a passed-through device, and
 * KVM's state stays in the kernel.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "../vfio/result.h"
#include "replace.h"

static const char usage[] =
"usage: vmm-replace [-n TIMES] [-k TIMES] [-s SEED] [-c CPUS] [-f] DEVICE BDF INSTANCE OTHER\n"
"\n"
"A guest with the device BDF, which vfio-pci has, and with devices of its VMM. The VMM, a\n"
"process, is replaced by the next one, which has all from a session of vfio-keepalive and\n"
"adopts the VM, on the same instance or on the other: first in an orderly way, then after it\n"
"was killed at a random moment, on its way to the VM or in the middle of an exit. DEVICE is\n"
"nvme, edu, e1000e or nvme-rings, where the VM has dirty rings and coalesced MMIO besides.\n"
"The probes of selftests/in-host/vfio-keepalive are set. TAP output.\n"
"\n"
"  -n, --replace TIMES  in an orderly way (40)\n"
"  -k, --kill TIMES     VMMs that are killed (20)\n"
"  -s, --seed SEED      of the moments (1)\n"
"  -c, --cpus CPUS      vCPUs, 3 to 8 (4)\n"
"  -f, --figures        none is killed; a line with a name and nanoseconds for make bench\n"
"  -h, --help\n";

#define PATIENCE	120
#define STEPS		2
#define EXITS		100
#define MIN_EXITS	6
/* In custody: steps of the vCPUs that need no VMM, and how often */
#define HELD_STEPS	5
#define HELD_TIMES	4
/* That has the timer, if there are as many */
#define TIMER_CPU	3
#define CGROUP		"/tmp/replace-cgroup"
#define CGROUP_BYTES	"100663296"

/* A VMM, seen from here. */
struct worker {
	pid_t	pid;
	int	leave;
	int	told;
};

static struct {
	struct replace r;
	struct watch w;
	struct worker now;	/* has the VM */
	unsigned int replace;
	unsigned int kill;
	bool figures;
	__u64 way_ns;		/* what a VMM takes to have the VM run, in the mean */
	__u64 *downtime;
	__u64 *stop;
} s;

static struct replace_common *common;

static bool why(const char *fmt, ...) __printf(1, 2);

static bool why(const char *fmt, ...)
{
	va_list ap;

	if (common->why[0])
		return false;
	va_start(ap, fmt);
	vsnprintf(common->why, sizeof(common->why), fmt, ap);
	va_end(ap);
	return false;
}

static bool write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	return f && fputs(text, f) >= 0 && !fclose(f);
}

/* The next VMM, which takes the VM from the one that has it, or had it. */
static struct worker start(enum die die, enum how how, unsigned int nth)
{
	struct worker w = { 0 };
	int leave[2], told[2];
	struct replace r = s.r;

	if (pipe(leave) || pipe(told))
		err(1, "pipe");
	r.die = die;
	r.how = how;
	r.nth = nth;
	fflush(NULL);
	w.pid = fork();
	if (w.pid < 0)
		err(1, "fork");
	if (!w.pid) {
		close(leave[1]);
		close(told[0]);
		if (s.now.pid) {
			close(s.now.leave);
			close(s.now.told);
		}
		munmap(s.w.mem, r.shape.mem);
		if (r.turn)
			close(r.mem);
		r.leave = leave[0];
		r.told = told[1];
		if (how == HOW_OOM && !write_text(CGROUP "/vmm/cgroup.procs", "0"))
			err(1, CGROUP);
		replace_vmm_run(&r);
	}
	close(leave[0]);
	close(told[1]);
	w.leave = leave[1];
	w.told = told[0];
	s.r.turn++;
	/* Instances 0 0 1 1 0 0: every second time the VM stays on its own. */
	s.r.to = s.r.turn / 2 % 2;
	s.r.same = false;
	s.r.bad = false;
	s.r.hold = NULL;
	return w;
}

static bool steps(unsigned int n)
{
	return watch_steps(&s.w, n) == WATCH_OK || why("%s", s.w.why);
}

static bool runs(struct worker *w, struct up *up)
{
	struct pollfd p = { .fd = w->told, .events = POLLIN };
	int n;

	while ((n = poll(&p, 1, PATIENCE * 1000)) < 0 && errno == EINTR)
		;
	if (n == 1 && read(w->told, up, sizeof(*up)) == sizeof(*up))
		return true;
	/* That says more. */
	return steps(0) && why("VMM %u %s", s.r.turn - 1,
			       n == 1 ? "has ended before the VM ran" :
					"does not come to run the VM");
}

/* Waits for its end; by a signal, or of itself (0). A guest that failed makes no exits. */
static bool ends(struct worker *w, int signal)
{
	int status;

	while (!waitpid(w->pid, &status, WNOHANG)) {
		if (!steps(0))
			kill(w->pid, SIGKILL);
		usleep(1000);
	}
	w->pid = 0;
	close(w->leave);
	close(w->told);
	if (signal ? WIFSIGNALED(status) && WTERMSIG(status) == signal :
		     WIFEXITED(status) && !WEXITSTATUS(status))
		return true;
	return why("a VMM has ended with status 0x%x", status);
}

/* It may have heard it before, and may be gone, having been adopted from. */
static void tell_to_leave(struct worker *w)
{
	if (w->pid && write(w->leave, "", 1) != 1 && errno != EPIPE)
		err(1, "pipe");
}

/* The next VMM, in the place of one that lives, or does not. */
static bool replace(struct up *up)
{
	struct worker next = start(DIE_NOT, HOW_KILL, 0);
	bool ok;

	tell_to_leave(&s.now);
	ok = runs(&next, up);
	if (s.now.pid)
		ok = ends(&s.now, 0) && ok;
	s.now = next;
	return ok;
}

static int by_size(const void *a, const void *b)
{
	const __u64 *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static void figures(const char *what, __u64 *ns, unsigned int n)
{
	if (!n)
		return;
	qsort(ns, n, sizeof(*ns), by_size);
	ksft_print_msg("%s: %llu min, %llu median, %llu max\n", what, ns[0], ns[n / 2],
		       ns[n - 1]);
}

static void in_order(void)
{
	unsigned int i;
	struct up up;
	__u64 began, took = 0;
	bool ok = true;

	for (i = 0; ok && i < s.replace; i++) {
		s.r.bad = !(i % 16);
		began = now_ns();
		ok = replace(&up) && steps(STEPS);
		if (!ok)
			break;
		took += up.runs_at - began;
		s.downtime[i] = up.downtime_ns;
		s.stop[i] = up.runs_at - up.stopped_at;
	}
	s.way_ns = i ? took / i : 0;
	is(i, s.replace, "VMMs replaced in an orderly way");
	figures("downtime_ns of the adoptions", s.downtime, i);
	figures("until the next VMM has its vCPUs run, ns", s.stop, i);
	ksft_print_msg("from its fork to there: %llu us in the mean\n", s.way_ns / 1000);
	if (!s.figures || !i)
		return;
	printf("replace_%u_%s_stop %llu\n", s.r.shape.cpus, s.r.kind->name, s.downtime[i / 2]);
	printf("replace_%u_%s_run %llu\n", s.r.shape.cpus, s.r.kind->name, s.stop[i / 2]);
}

/* A VMM that runs the VM, and a guest that gets on. */
static bool settle(void)
{
	struct up up;

	return replace(&up) && steps(STEPS);
}

/* Of a VMM that is to be killed, and may have ended because it was adopted from. */
static bool kill_it(struct worker *w)
{
	int status = 0;

	kill(w->pid, SIGKILL);
	waitpid(w->pid, &status, 0);
	w->pid = 0;
	close(w->leave);
	close(w->told);
	return !status || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
	       why("a VMM that is killed has ended with status 0x%x", status);
}

/*
 * The former one dies first, or lives until it is adopted from; the next one is killed on its
 * way, in an exit, or wherever it is after a time. At each point once, then at random.
 */
static bool one_killed(unsigned int i, unsigned int counts[DIE_POINTS])
{
	enum die die = random() % 2 ? 1 + random() % (DIE_POINTS - 1) : DIE_NOT;
	struct worker next;
	bool ok = true;

	if (i < DIE_POINTS - 1)
		die = i + 1;
	if (s.now.pid && random() % 2)
		ok = kill_it(&s.now);
	next = start(die, HOW_KILL, random() % 200);
	tell_to_leave(&s.now);
	if (die == DIE_NOT) {
		usleep(random() % (2 * s.way_ns / 1000 + 1));
		kill(next.pid, SIGKILL);
	}
	counts[die]++;
	return ends(&next, SIGKILL) && ok;
}

static void at_random(void)
{
	static const char * const names[] = {
		"any time", "started", "claimed", "token stored", "confirmed",
		"without addresses", "with addresses", "adopted", "recovered", "exit",
		"exit handled", "noted", "marked", "done",
	};
	unsigned int i, counts[DIE_POINTS] = { 0 };
	bool ok = true;

	for (i = 0; ok && i < s.kill; i++) {
		ok = one_killed(i, counts);
		if (i % 8 == 7)
			ok = settle() && ok;
	}
	ok = settle() && ok;
	is(ok ? i : i - 1, s.kill, "VMMs killed, and the guest went on");
	for (i = 0; i < DIE_POINTS; i++)
		ksft_print_msg("killed: %s: %u\n", names[i], counts[i]);
	ksft_print_msg("exits that nobody had completed: %u nothing left, %u again, %u writes\n",
		       common->verdicts[KVM_CORE_ADOPT_EXIT_DONE],
		       common->verdicts[KVM_CORE_ADOPT_EXIT_AGAIN],
		       common->verdicts[KVM_CORE_ADOPT_EXIT_WRITE]);
	ksft_print_msg("exits finished by the next VMM: %u, undone: %u, handled: %u\n",
		       common->finished, common->undone, common->late);
}

/* In an exit; the next one has the VM as after any end. */
static void crash(const char *what, enum how how, int signal)
{
	struct worker next = start(DIE_EXIT_HANDLED, how, 50);
	bool ok;

	tell_to_leave(&s.now);
	ok = ends(&next, signal);
	check(settle() && ok, what);
}

/* In each stage of the adoption, which goes on and comes to its end without the adopter. */
static void in_stages(void)
{
	static const char * const stages[] = {
		"record", "prepare", "stop", "quiesce", "move", "commit",
	};
	unsigned int i;
	char what[80];

	for (i = 0; i < ARRAY_SIZE(stages); i++) {
		struct worker next;
		bool ok;

		snprintf(what, sizeof(what), "the adopter is killed in stage %s", stages[i]);
		ok = inject_set(stages[i], "hold", 1);
		next = start(DIE_NOT, HOW_KILL, 0);
		tell_to_leave(&s.now);
		ok = ok && inject_wait_held(stages[i], PATIENCE);
		kill(next.pid, SIGKILL);
		ok = inject_set(stages[i], "hold", 0) && ok;
		ok = ends(&next, SIGKILL) && ok;
		check(settle() && ok, what);
	}
}

/*
 * A VMM is killed with an exit behind it, the next one when it has adopted: what the first one
 * has left, the third has to hear as well.
 */
static void adopted_twice(void)
{
	struct worker next;
	unsigned int n, i, seen[3] = { 0 };
	bool ok = true;
	__u32 *a, *b;

	for (n = 0; ok && n < EXITS && (n < MIN_EXITS || !seen[KVM_CORE_ADOPT_EXIT_AGAIN] ||
					!seen[KVM_CORE_ADOPT_EXIT_WRITE]); n++) {
		kill_it(&s.now);
		/* Most writes of the rings' guest are collected, and no exit. */
		next = start(seen[KVM_CORE_ADOPT_EXIT_WRITE] ? DIE_EXIT_DONE : DIE_WRITE_DONE,
			     HOW_KILL, n % 12);
		ok = ends(&next, SIGKILL);
		a = common->exits[s.r.turn % 2];
		next = start(DIE_ADOPTED, HOW_KILL, 0);
		ok = ends(&next, SIGKILL) && ok;
		b = common->exits[s.r.turn % 2];
		ok = settle() && ok;
		for (i = 0; ok && i < s.r.shape.cpus; i++) {
			seen[a[i] % 3]++;
			if (a[i] != b[i])
				ok = why("vCPU %u: exit %u for the first, %u for the second", i,
					 a[i], b[i]);
		}
	}
	ksft_print_msg("%u times twice: %u again, %u writes\n", n,
		       seen[KVM_CORE_ADOPT_EXIT_AGAIN], seen[KVM_CORE_ADOPT_EXIT_WRITE]);
	check(ok && seen[KVM_CORE_ADOPT_EXIT_AGAIN] && seen[KVM_CORE_ADOPT_EXIT_WRITE],
	      "adopted twice before KVM_RUN: told of the same exits");
}

/* The rest of an adoption is waited for, as by any handoff that an operator asks for. */
static bool wait_for_rest(void)
{
	struct kvm_core_move mv = { .flags = KVM_CORE_MOVE_DRY_RUN, .timeout_ms = 60000 };
	DIR *d = opendir("/sys/kernel/kvm_core/vms");
	int fd = open("/dev/kvm-core", O_RDWR | O_CLOEXEC);
	struct dirent *e;
	bool ok;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			mv.vm = strtoul(e->d_name, NULL, 0);
	if (d)
		closedir(d);
	snprintf(mv.instance, sizeof(mv.instance), "%s", s.r.name[0]);
	ok = !ioctl(fd, KVM_CORE_MOVE, &mv) || errno == EALREADY;
	close(fd);
	return ok || why("a dry run of a move: %s", mv.reason);
}

/*
 * What is left of the former VM is held: the next one runs meanwhile, and is killed; the one after
 * that has to wait, and has it then.
 */
static void in_retire(void)
{
	struct worker next;
	struct up up;
	bool ok;

	ok = wait_for_rest() && inject_set("retire", "hold", 1) && replace(&up) && steps(STEPS) &&
	     inject_wait_held("retire", PATIENCE);
	check(ok, "the VM runs while the former one is being destroyed");
	ok = kill_it(&s.now) && ok;
	next = start(DIE_NOT, HOW_KILL, 0);
	/* Time to come so far that it would be refused. */
	usleep(300000);
	ok = inject_set("retire", "hold", 0) && ok;
	ok = runs(&next, &up) && ok;
	s.now = next;
	check(ok && steps(STEPS), "who adopts meanwhile waits for that");
}

/* Of a vCPU, while no VMM is there; in time, or false. */
static bool gets_on(unsigned int vcpu)
{
	const struct guest_cpu *c = vm_cpu_page(s.w.mem, vcpu);
	__u64 until = now_ns() + PATIENCE * 1000000000ull;
	__u64 goal = VMM_LOAD(c->progress) + HELD_STEPS;

	while (VMM_LOAD(c->progress) < goal) {
		if (now_ns() > until)
			return why("vCPU %u makes no steps without a VMM", vcpu);
		usleep(1000);
	}
	return true;
}

/* Sums over all times that a custodian had the VM */
struct custody {
	__u64	held_us;	/* stops */
	__u64	next_us;
	__u64	gone_us;	/* from a VMM's end to custody */
	__u64	commands;	/* of the device meanwhile */
	unsigned int handled;	/* exits, as in struct replace_hold */
};

static bool hold(struct replace_hold *h, bool watch)
{
	return !replace_hold_start(h, &common->ticket[common->valid], watch) ||
	       why("the custodian does not watch: %s", h->line);
}

/* The VMM, which a custodian watches, is killed wherever it is. */
static bool killed_watched(struct replace_hold *h)
{
	bool ok = hold(h, true);

	usleep(random() % 20000);
	return kill_it(&s.now) && ok;
}

/* The next VMM ends when it has handled an exit, and then a custodian is started. */
static bool killed_handled(struct replace_hold *h, unsigned int nth)
{
	struct worker next = start(DIE_EXIT_DONE, HOW_KILL, nth);

	tell_to_leave(&s.now);
	if (!ends(&next, SIGKILL))
		return false;
	if (s.now.pid)
		kill_it(&s.now);
	return hold(h, false);
}

/* A custodian is about to have the VM (@begun), and then the next VMM has. */
static bool custody(struct custody *sum, struct replace_hold *h, bool begun)
{
	const struct guest_cpu *c = vm_cpu_page(s.w.mem, 0);
	__u64 commands, since = now_ns();
	struct up up = { 0 };
	bool ok;

	if (!begun) {
		replace_hold_end(h, false);
		return false;
	}
	ok = !replace_hold_adopted(h, &common->ticket[0]) ||
	     why("the custodian has not adopted: %s", h->line);
	sum->gone_us += (now_ns() - since) / 1000;
	common->valid = 0;
	commands = VMM_LOAD(c->count[1]);
	ok = ok && gets_on(0) && (s.r.shape.cpus <= TIMER_CPU || gets_on(TIMER_CPU));
	sum->commands += VMM_LOAD(c->count[1]) - commands;
	s.r.hold = REPLACE_HOLD_SOCKET;
	ok = ok && replace(&up);
	ok = (!replace_hold_end(h, ok) || why("the custodian has failed")) && ok && steps(STEPS);
	sum->held_us += h->downtime_us;
	sum->next_us += up.downtime_ns / 1000;
	sum->handled += h->handled;
	return ok;
}

/*
 * A custodian runs the guest: its device and its timer go on, and who comes to an exit waits for
 * the next VMM.
 */
static void in_custody(void)
{
	struct custody sum = { 0 };
	unsigned int i;
	bool ok = true;

	for (i = 0; ok && i < HELD_TIMES; i++) {
		struct replace_hold h = { 0 };

		ok = custody(&sum, &h, killed_watched(&h));
	}
	is(ok ? i : i - 1, HELD_TIMES,
	   "VMMs killed, a custodian ran the guest with its device, and the next VMM took both");
	ksft_print_msg("stops, us: for its adoption %llu, for the next VMM's %llu\n",
		       sum.held_us / HELD_TIMES, sum.next_us / HELD_TIMES);
	ksft_print_msg("%llu us from a VMM's end to custody; %llu commands of the device in it\n",
		       sum.gone_us / HELD_TIMES, sum.commands);
	for (i = 0; ok && i < EXITS && !sum.handled; i++) {
		struct replace_hold h = { 0 };

		ok = custody(&sum, &h, killed_handled(&h, i % 12));
	}
	check(ok && sum.handled, "a read that its VMM had handled waits in custody");
}

static void make_cgroup(void)
{
	mkdir(CGROUP, 0700);
	if (mount("none", CGROUP, "cgroup2", 0, NULL) ||
	    !write_text(CGROUP "/cgroup.subtree_control", "+memory") ||
	    mkdir(CGROUP "/vmm", 0700) ||
	    !write_text(CGROUP "/vmm/memory.max", CGROUP_BYTES))
		err(1, "memory cgroup");
}

static long oom_kills(void)
{
	FILE *f = fopen(CGROUP "/vmm/memory.events", "r");
	char name[32];
	long n, kills = -1;

	while (f && fscanf(f, "%31s %ld", name, &n) == 2)
		if (!strcmp(name, "oom_kill"))
			kills = n;
	if (f)
		fclose(f);
	return kills;
}

static long raised(void)
{
	char name[64];

	snprintf(name, sizeof(name), "%s(%s)", s.r.kind->irq, s.r.bdf);
	return host_irqs(name);
}

/* After the guest's end */
static void judge_rings(void)
{
	struct replace_rings *a = s.r.rings;

	if (!a)
		return;
	check(replace_rings_complete(a, s.w.mem),
	      "each entry of the dirty rings was collected once, and no page is missing");
	check(a->found && a->posted, "entries and collected writes were left to the next VMM");
	if (a->why[0])
		ksft_print_msg("%s\n", a->why);
	ksft_print_msg("%llu entries, %llu left by a VMM before; %u VMMs were killed in one\n",
		       a->collected, a->found, a->half);
	ksft_print_msg("%llu collected writes left by a VMM before; ring 0 moved %llu times\n",
		       a->posted, a->moved[0]);
}

static void judge_interrupts(long took, const struct guest_cpu *c)
{
	long interrupts = VMM_LOAD(c->count[0]), again = VMM_LOAD(c->count[2]);

	is(VMM_LOAD(c->count[1]) + again - interrupts, 0,
	   "commands of the guest whose interrupt was lost");
	if (!s.r.kind->again) {
		is(took, interrupts, "interrupts, as many as the host took");
		return;
	}
	ksft_print_msg("the host took %ld; %ld told nothing new\n", took, again);
	check(took >= interrupts, "interrupts, none that the host did not take");
}

static void by_fault(void)
{
	crash("a VMM that ends by SIGSEGV, in an exit", HOW_SEGV, SIGSEGV);
}

static void out_of_memory(void)
{
	make_cgroup();
	crash("a VMM that is out of memory, in an exit", HOW_OOM, SIGKILL);
	is(oom_kills(), 1, "processes of its cgroup that the kernel killed for that");
}

static void all_tests(void)
{
	static void (*const parts[])(void) = {
		at_random, by_fault, in_stages, in_retire, adopted_twice, in_custody,
		out_of_memory,
	};
	struct guest_cpu *c = vm_cpu_page(s.w.mem, 0);
	long maps, unmaps, irte, resets;
	char tables[160], now[160];
	struct up up;
	unsigned int i;
	bool ok;

	s.now = start(DIE_NOT, HOW_KILL, 0);
	if (!runs(&s.now, &up)) {
		check(false, "the first VMM");
		return;
	}
	maps = host_hits("iommu_map");
	unmaps = host_hits("iommu_unmap");
	irte = host_hits("irte");
	resets = host_hits("reset");
	host_digest(tables, sizeof(tables));
	ok = steps(STEPS);
	check(ok, "the guest begins");
	if (!ok)
		return;
	in_order();
	if (s.figures)
		return;
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		if (!steps(0)) {
			check(false, "the guest goes on");
			return;
		}
		parts[i]();
	}
	ok = steps(STEPS) && (watch_finish(&s.w) == WATCH_OK || why("%s", s.w.why));
	check(ok, "the guest verified all, to its end");
	judge_rings();
	judge_interrupts(raised() - up.irqs, c);
	host_digest(now, sizeof(now));
	check(!strcmp(tables, now), "the IOMMU's tables are the same");
	is(host_hits("iommu_map") - maps, 0, "mappings made");
	is(host_hits("iommu_unmap") - unmaps, 0, "mappings taken away");
	is(host_hits("irte") - irte, 0, "interrupts sent elsewhere");
	is(host_hits("reset") - resets, 0, "resets");
}

static void setup(char **argv)
{
	s.r.kind = replace_device(argv[0]);
	if (!s.r.kind) {
		fputs(usage, stderr);
		exit(2);
	}
	s.r.bdf = argv[1];
	s.r.name[0] = argv[2];
	s.r.name[1] = argv[3];
	s.r.shape = (struct vm_shape){
		.guest = s.r.kind->guest, .cpus = s.r.shape.cpus, .mem = GUEST_MIN_MEM,
		.ring = s.r.kind->ring,
	};
	s.downtime = calloc(s.replace + 1, sizeof(*s.downtime));
	s.stop = calloc(s.replace + 1, sizeof(*s.stop));
	common = mmap(NULL, sizeof(*common), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	if (!s.downtime || !s.stop || common == MAP_FAILED)
		err(1, "no memory");
	s.r.common = common;
	if (!s.r.kind->ring)
		return;
	s.r.rings = mmap(NULL, sizeof(*s.r.rings), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s.r.rings == MAP_FAILED)
		err(1, "no memory");
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "replace", 1, NULL, 'n' }, { "kill", 1, NULL, 'k' },
		{ "seed", 1, NULL, 's' }, { "cpus", 1, NULL, 'c' },
		{ "figures", 0, NULL, 'f' }, { "help", 0, NULL, 'h' }, { 0 }
	};
	unsigned int seed = 1;
	struct vm_fds fds;
	int c, dev;

	s.replace = 40;
	s.kill = 20;
	s.r.shape.cpus = 4;
	while ((c = getopt_long(argc, argv, "n:k:s:c:fh", longs, NULL)) != -1) {
		if (c == 'n') {
			s.replace = strtoul(optarg, NULL, 0);
		} else if (c == 'k') {
			s.kill = strtoul(optarg, NULL, 0);
		} else if (c == 's') {
			seed = strtoul(optarg, NULL, 0);
		} else if (c == 'c') {
			s.r.shape.cpus = strtoul(optarg, NULL, 0);
		} else if (c == 'f') {
			s.figures = true;
		} else {
			fputs(usage, c == 'h' ? stdout : stderr);
			return c == 'h' ? 0 : 2;
		}
	}
	if (argc - optind != 4 || s.r.shape.cpus <= STREAM_CPU ||
	    s.r.shape.cpus > GUEST_MAX_CPUS) {
		fputs(usage, stderr);
		return 2;
	}
	setup(argv + optind);
	srandom(seed);
	signal(SIGPIPE, SIG_IGN);
	if (vm_fds_make(&s.r.shape, &fds) || watch_open(&s.w, &s.r.shape, &fds, &common->report))
		return 2;
	s.w.patience = PATIENCE;
	s.r.mem = fds.mem;
	ksft_print_header();
	ksft_print_msg("seed %u\n", seed);
	all_tests();
	if (common->why[0])
		ksft_print_msg("%s\n", common->why);
	if (s.now.pid)
		kill_it(&s.now);
	dev = ka_open();
	is(ka_release(dev, common->ticket[common->valid].id, 0), 0, "release");
	check(left_nothing(s.r.name, PATIENCE), "no VM is left, and nothing of it");
	result_end();
}
