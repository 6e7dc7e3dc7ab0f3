// SPDX-License-Identifier: GPL-2.0-only
/* vmm-adopt: a running VM becomes another process's, by its descriptors alone. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "../vfio/vfio.h"
#include "adopt.h"

static const char usage[] =
"usage: vmm-adopt -a INSTANCE -b INSTANCE [-n TIMES] [-g GUEST[,GUEST...]] [-c CPUS] [-m MIB]\n"
"\n"
"Two VMMs, processes of their own, take a running VM from each other by\n"
"KVM_CORE_VM_ADOPT, to and fro between the instances, while its guest runs and\n"
"verifies itself; this process holds the descriptors and gives them to both. Then what\n"
"is refused, and VMMs that are killed. TAP output, a line for each guest and case.\n"
"\n"
"  -a, --from INSTANCE  where the VM is created, kvm-amd-1\n"
"  -b, --to INSTANCE    the other one, kvm-amd-2\n"
"  -n, --times N        how often it is adopted (10)\n"
"  -g, --guest LIST     guests by name, with commas; all (the default)\n"
"  -c, --cpus CPUS      vCPUs, 1 to 8 (2)\n"
"  -m, --memory MIB     memory (32)\n"
"  -s, --steps N        steps of every vCPU in between (3)\n"
"  -o, --only           the guests, and none of the cases\n"
"  -w, --wait SECONDS   patience without any progress (120)\n"
"  -h, --help\n";

struct adopt_options adopt_opts = {
	.shape = { .cpus = 2, .mem = 32 << 20 },
	.times = 10,
	.steps = 3,
	.patience = 120,
};

/* More entries than a vCPU has pages, and more steps than the guest needs to write to them all. */
#define RING_ENTRIES	4096
#define RING_STEPS	20

#define EXITS		10

struct common *common;

static void result(struct stage *st, const char *name, enum watch_result r,
		   const char *more)
{
	if (r == WATCH_OK)
		ksft_test_result_pass("%s%s\n", name, more);
	else if (r == WATCH_SKIP)
		ksft_test_result_skip("%s: %s\n", name, st->w.why);
	else
		ksft_test_result_fail("%s: %s\n", name, st->w.why);
	fflush(stdout);
}

/* The guest goes on, comes to its end, and has lost nothing. */
static void go_on_and_end(struct stage *st, const char *name, enum watch_result r)
{
	if (r == WATCH_OK)
		r = watch_steps(&st->w, adopt_opts.steps);
	if (r == WATCH_OK)
		r = watch_finish(&st->w);
	result(st, name, r, "");
	stage_close(st);
}

/* To and fro between the VMMs, and every second time between the instances. */
static void test_guest(unsigned int guest)
{
	const char *name = guest_name(guest);
	unsigned int i, n = 0;
	enum watch_result r;
	__u64 downtime = 0;
	struct stage st;
	char more[80];

	fprintf(stderr, "vmm-adopt: %s\n", name);
	if (guest_needs(guest) & GN_SLOW) {
		ksft_test_result_skip("%s: its pages come from one VMM\n", name);
		return;
	}
	r = stage_begin(&st, guest, 0);
	for (i = 0; r == WATCH_OK && i < adopt_opts.times; i++) {
		/* Instances 0 to 1, 1 to 1, 1 to 0, 0 to 0. */
		unsigned int to = (i + 2) / 2 % 2;

		r = stage_adopt(&st, (i + 1) % 2, to, i % 2, false, &downtime);
		n += r == WATCH_OK;
		if (r == WATCH_OK)
			r = watch_steps(&st.w, adopt_opts.steps);
	}
	if (r == WATCH_OK)
		r = watch_finish(&st.w);
	snprintf(more, sizeof(more), ": adopted %u times, %llu us", n,
		 n ? downtime / n / 1000 : 0);
	result(&st, name, r, more);
	stage_close(&st);
}

static void test_orders(const char *name, enum order what)
{
	struct order_msg m = order_message(1, false);
	enum watch_result r;
	__u64 downtime = 0;
	struct stage st;

	r = stage_begin(&st, GUEST_irqfd_msi, 0);
	if (r == WATCH_OK)
		r = order_give(&st, 1, what, &m);
	if (r == WATCH_OK)
		r = watch_steps(&st.w, adopt_opts.steps);
	if (r == WATCH_OK)
		r = stage_adopt(&st, 1, 1, false, false, &downtime);
	go_on_and_end(&st, name, r);
}

static void test_own(void)
{
	struct order_msg m = order_message(1, false);
	enum watch_result r;
	__u64 downtime = 0;
	struct stage st;

	r = stage_begin(&st, GUEST_spin, 0);
	if (r == WATCH_OK)
		r = stage_adopt(&st, 1, 1, false, false, &downtime);
	if (r == WATCH_OK)
		r = order_give(&st, 1, ORDER_OWN, &m);
	go_on_and_end(&st, "a VMM that adopts its own VM", r);
}

/*
 * Nobody collects from the rings before the VM is adopted: all that was written since the
 * last adoption is in there then, for the adopter.
 */
static void test_rings(void)
{
	enum watch_result r;
	__u64 downtime = 0;
	struct stage st;
	unsigned int i;

	r = stage_begin(&st, GUEST_mem, RING_ENTRIES);
	for (i = 0; r == WATCH_OK && i < 4; i++) {
		r = watch_steps(&st.w, RING_STEPS);
		if (r == WATCH_OK)
			r = stage_adopt(&st, (i + 1) % 2, (i + 2) / 2 % 2, i % 2, false, &downtime);
	}
	if (r == WATCH_OK)
		r = watch_finish(&st.w);
	result(&st, "dirty rings", r, "");
	stage_close(&st);
}

static void test_operator(void)
{
	enum watch_result r;
	struct stage st;
	char more[80] = "";

	r = stage_begin(&st, GUEST_irqfd_msi, 0);
	if (r == WATCH_OK)
		r = adopt_operator(&st, more, sizeof(more));
	if (r == WATCH_OK)
		r = watch_finish(&st.w);
	result(&st, "while an operator moves it", r, more);
	stage_close(&st);
}

/* The VMM is killed while its vCPUs run, and the VM stands still until it is adopted. */
static void test_killed(unsigned int guest, bool same)
{
	enum watch_result r;
	__u64 downtime = 0, at = 0;
	struct stage st;
	char name[80];
	unsigned int i;

	snprintf(name, sizeof(name), "killed, then adopted on %s instance: %s",
		 same ? "the same" : "another", guest_name(guest));
	r = stage_begin(&st, guest, 0);
	if (r == WATCH_OK) {
		vmm_end(&st.vmm[0], true);
		for (i = 0; i < adopt_opts.shape.cpus; i++)
			at += VMM_LOAD(vm_cpu_page(st.w.mem, i)->progress);
		usleep(20000);
		for (i = 0; i < adopt_opts.shape.cpus; i++)
			at -= VMM_LOAD(vm_cpu_page(st.w.mem, i)->progress);
		if (at) {
			snprintf(st.w.why, sizeof(st.w.why), "it runs without a VMM");
			r = WATCH_FAIL;
		}
	}
	if (r == WATCH_OK)
		r = stage_adopt(&st, 1, !same, same, true, &downtime);
	if (r == WATCH_OK)
		r = watch_steps(&st.w, adopt_opts.steps);
	if (r == WATCH_OK)
		r = vmm_start_again(&st, 0);
	if (r == WATCH_OK)
		r = stage_adopt(&st, 0, same, false, false, &downtime);
	go_on_and_end(&st, name, r);
}

/* The adopter is killed in the middle: the VM is its own in the end, and of the next one. */
static void test_adopter_killed(const char *stage)
{
	struct order_msg m = order_message(1, false), left = m;
	enum watch_result r;
	__u64 downtime = 0;
	struct stage st;
	char name[64];

	snprintf(name, sizeof(name), "the adopter is killed at stage %s", stage);
	r = stage_begin(&st, GUEST_irqfd_msi, 0);
	if (r == WATCH_OK) {
		r = WATCH_FAIL;
		snprintf(st.w.why, sizeof(st.w.why), "debugfs holds no handoff");
		if (inject_set(stage, "hold", 1) && order_tell(&st, 1, ORDER_ADOPT, &m) &&
		    inject_wait_held(stage, adopt_opts.patience) && !kill(st.vmm[1].pid, SIGKILL))
			r = WATCH_OK;
		inject_set(stage, "hold", 0);
		vmm_end(&st.vmm[1], true);
	}
	if (r == WATCH_OK)
		r = order_give(&st, 0, ORDER_LEFT, &left);
	if (r == WATCH_OK)
		r = vmm_start_again(&st, 1);
	if (r == WATCH_OK)
		r = stage_adopt(&st, 1, 0, false, true, &downtime);
	go_on_and_end(&st, name, r);
}

/*
 * The VMM is killed with an exit that it has not handled, the first to the last of some:
 * reads and writes, of strings too.
 */
static void test_killed_in_exit(unsigned int guest)
{
	struct vm_shape shape = adopt_opts.shape;
	enum watch_result r = WATCH_OK;
	__u64 downtime = 0;
	struct stage st;
	unsigned int n;
	char name[80];

	snprintf(name, sizeof(name), "killed in an exit: %s", guest_name(guest));
	/* Another vCPU's device would have been killed in the middle. */
	adopt_opts.shape.cpus = 1;
	for (n = 0; r == WATCH_OK; n++) {
		struct order_msg m = order_message(0, false);

		m.nth = 5 * n;
		if (!stage_open(&st, guest, 0) || !order_tell(&st, 0, ORDER_DIE_IN_EXIT, &m)) {
			snprintf(st.w.why, sizeof(st.w.why), "no processes");
			r = WATCH_FAIL;
			break;
		}
		waitpid(st.vmm[0].pid, NULL, 0);
		st.vmm[0].pid = 0;
		r = stage_adopt(&st, 1, n % 2, !(n % 2), true, &downtime);
		if (r == WATCH_OK)
			r = watch_steps(&st.w, adopt_opts.steps);
		if (r == WATCH_OK)
			r = watch_finish(&st.w);
		if (r != WATCH_OK || n == EXITS - 1)
			break;
		stage_close(&st);
	}
	result(&st, name, r, "");
	stage_close(&st);
	adopt_opts.shape = shape;
}

/*
 * It is killed so when its VM is about to be adopted: until then that exit is waited for, and
 * nobody comes back for it.
 */
static void test_killed_meanwhile(void)
{
	struct order_msg m = order_message(0, false), a = order_message(1, false);
	struct vm_shape shape = adopt_opts.shape;
	enum watch_result r = WATCH_FAIL;
	struct stage st;

	adopt_opts.shape.cpus = 1;
	m.nth = 7;
	if (stage_open(&st, GUEST_mmio, 0)) {
		VMM_STORE(common->stay, 1);
		r = order_give(&st, 0, ORDER_DIE_IN_EXIT, &m);
	}
	while (r == WATCH_OK && !VMM_LOAD(common->exit[0]))
		usleep(1000);
	if (r == WATCH_OK) {
		r = WATCH_FAIL;
		snprintf(st.w.why, sizeof(st.w.why), "debugfs holds no handoff");
		if (inject_set("prepare", "hold", 1) && order_tell(&st, 1, ORDER_ADOPT, &a) &&
		    inject_wait_held("prepare", adopt_opts.patience))
			r = WATCH_OK;
		VMM_STORE(common->stay, 0);
		vmm_end(&st.vmm[0], false);
		inject_set("prepare", "hold", 0);
	}
	if (r == WATCH_OK)
		r = order_answer(&st, 1, &a);
	a = order_message(1, false);
	if (r == WATCH_OK)
		r = order_give(&st, 1, ORDER_GO, &a);
	adopt_opts.shape = shape;
	go_on_and_end(&st, "killed in an exit, when it is being adopted", r);
}

/* The former VMM is told at once that the VM is not its own, also when it runs elsewhere. */
static void test_former(void)
{
	struct order_msg m = order_message(1, false);
	enum watch_result r;
	struct stage st;

	r = stage_begin(&st, GUEST_spin, 0);
	if (r == WATCH_OK)
		r = order_give(&st, 1, ORDER_ADOPT, &m);
	m = order_message(1, false);
	if (r == WATCH_OK)
		r = order_give(&st, 1, ORDER_GO, &m);
	if (r == WATCH_OK)
		r = watch_steps(&st.w, adopt_opts.steps);
	m = order_message(1, false);
	if (r == WATCH_OK)
		r = order_give(&st, 0, ORDER_LEFT, &m);
	go_on_and_end(&st, "who had it is told so while it runs", r);
}

/* With these a VMM ends; a handler of its own would not be a VMM that crashes. */
static const int crashes[] = { SIGKILL, SIGSEGV, SIGBUS, SIGABRT };

static void crash(struct stage *st, unsigned int n, unsigned int i)
{
	kill(st->vmm[n].pid, crashes[i % ARRAY_SIZE(crashes)]);
	vmm_end(&st->vmm[n], false);
}

/* Nobody but a session has the VM while there is no VMM. */
static void test_session(unsigned int guest)
{
	struct order_msg m = order_message(0, true);
	enum watch_result r;
	__u64 downtime = 0;
	struct stage st;
	char name[80];
	unsigned int i;

	snprintf(name, sizeof(name), "killed, then claimed from a session: %s",
		 guest_name(guest));
	r = stage_begin(&st, guest, 0);
	m.nth = 600000;
	if (r == WATCH_OK)
		r = order_give(&st, 0, ORDER_KEEP, &m);
	stage_close_vm(&st);
	for (i = 0; r == WATCH_OK && i < adopt_opts.times; i++) {
		crash(&st, i % 2, i);
		r = vmm_start_again(&st, !(i % 2));
		st.vmm[!(i % 2)].has = true;
		m = order_message(0, true);
		if (r == WATCH_OK)
			r = order_give(&st, !(i % 2), ORDER_CLAIM, &m);
		if (r == WATCH_OK)
			r = stage_adopt(&st, !(i % 2), i / 2 % 2, false, true, &downtime);
		if (r == WATCH_OK)
			r = watch_steps(&st.w, adopt_opts.steps);
	}
	m = order_message(0, true);
	if (r == WATCH_OK)
		r = order_give(&st, i % 2, ORDER_RELEASE, &m);
	if (r == WATCH_OK)
		r = watch_finish(&st.w);
	result(&st, name, r, "");
	stage_close(&st);
}

/* The session, and with it the VM. */
static bool session_gone(void)
{
	int dev = ka_open();
	bool gone = ka_wait_gone(dev, common->ticket.session, adopt_opts.patience * 1000);

	close(dev);
	return gone && !left_vms();
}

/* The session's time ends: the VM is gone, and nothing has kept it. */
static void test_session_ends(void)
{
	struct order_msg m = order_message(0, true);
	enum watch_result r;
	struct stage st;

	r = stage_begin(&st, GUEST_spin, 0);
	m.nth = 300;
	if (r == WATCH_OK)
		r = order_give(&st, 0, ORDER_KEEP, &m);
	stage_close_vm(&st);
	crash(&st, 0, 0);
	if (r == WATCH_OK && !session_gone()) {
		snprintf(st.w.why, sizeof(st.w.why), "the session or the VM is still there");
		r = WATCH_FAIL;
	}
	result(&st, "killed, and the session's time ends", r, "");
	stage_close(&st);
}

static const char * const killed_guests[] = { "spin", "mem", "timer_oneshot", "ipi" };
static const char * const kept_guests[] = { "spin", "mem", "timer_oneshot", "irqfd_msi" };
#define CASES (9 + 2 * ARRAY_SIZE(killed_guests) + 2 + ARRAY_SIZE(kept_guests) + 1)

static void test_cases(void)
{
	unsigned int i;

	test_orders("what is refused", ORDER_BAD);
	test_orders("two at once", ORDER_BUSY);
	test_own();
	test_operator();
	test_rings();
	test_adopter_killed("prepare");
	test_adopter_killed("move");
	for (i = 0; i < 2 * ARRAY_SIZE(killed_guests); i++)
		test_killed(guest_by_name(killed_guests[i / 2]), i % 2);
	test_killed_in_exit(GUEST_pio);
	test_killed_in_exit(GUEST_mmio);
	test_killed_meanwhile();
	test_former();
	for (i = 0; i < ARRAY_SIZE(kept_guests); i++)
		test_session(guest_by_name(kept_guests[i]));
	test_session_ends();
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "from", 1, NULL, 'a' }, { "to", 1, NULL, 'b' },
		{ "times", 1, NULL, 'n' }, { "guest", 1, NULL, 'g' },
		{ "cpus", 1, NULL, 'c' }, { "memory", 1, NULL, 'm' },
		{ "steps", 1, NULL, 's' }, { "only", 0, NULL, 'o' },
		{ "wait", 1, NULL, 'w' }, { "help", 0, NULL, 'h' }, { 0 }
	};
	bool set[GUEST_COUNT] = { 0 };
	char all[] = "all", *guests = all;
	unsigned int i;
	int c, n, nl;

	while ((c = getopt_long(argc, argv, "a:b:n:g:c:m:s:w:oh", longs, NULL)) != -1) {
		switch (c) {
		case 'a':
			adopt_opts.name[0] = optarg;
			break;
		case 'b':
			adopt_opts.name[1] = optarg;
			break;
		case 'n':
			adopt_opts.times = strtoul(optarg, NULL, 0);
			break;
		case 'g':
			guests = optarg;
			break;
		case 'c':
		case 'm':
			shape_option(&adopt_opts.shape, c, optarg);
			break;
		case 's':
			adopt_opts.steps = strtoul(optarg, NULL, 0);
			break;
		case 'o':
			adopt_opts.only = true;
			break;
		case 'w':
			adopt_opts.patience = strtoul(optarg, NULL, 0);
			break;
		case 'h':
			fputs(usage, stdout);
			return 0;
		default:
			fputs(usage, stderr);
			return 2;
		}
	}
	if (optind < argc || !adopt_opts.name[0] || !adopt_opts.name[1]) {
		fputs(usage, stderr);
		return 2;
	}
	n = guests_parse(guests, set);
	if (n < 0)
		return 2;
	common = mmap(NULL, sizeof(*common), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (common == MAP_FAILED)
		return 2;
	nl = uevents_open();
	ksft_print_header();
	ksft_set_plan(n + (adopt_opts.only ? 0 : CASES) + 2);
	for (i = 0; i < GUEST_COUNT; i++)
		if (set[i])
			test_guest(i);
	if (!adopt_opts.only)
		test_cases();
	ksft_test_result(nl >= 0 && uevent_comes(nl, "KVM_RELAY_EVENT=adopted", 10),
			 "udev is told of adoptions\n");
	ksft_test_result(left_nothing(adopt_opts.name, adopt_opts.patience),
			 "no VM is left, and nothing of it\n");
	ksft_finished();
}
