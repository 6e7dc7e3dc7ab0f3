// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm-hold: while no VMM is there, a custodian (kvm-relay-hold) runs the VM.
 *
 * Long, since each case is a sequence of its own of orders to the same two VMMs and the
 * same custodian.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "../vfio/vfio.h"
#include "adopt.h"

static const char usage[] =
"usage: vmm-hold -a INSTANCE -b INSTANCE [-n TIMES] [-g GUEST[,GUEST...]] [-c CPUS] [-m MIB]\n"
"\n"
"VMMs, processes of their own, hand their VM to kvm-relay-hold or are killed while it\n"
"watches, and the next VMM takes the VM from there. Guests that need no VMM go on\n"
"meanwhile: their steps are counted. Exits wait, and the next VMM's answers are verified by\n"
"the guest. TAP output: the stops of the custodian's adoption and of the next VMM's, and steps\n"
"of all vCPUs while no VMM was there.\n"
"\n"
"  -a, --from INSTANCE  where the VM is created, kvm-amd-1\n"
"  -b, --to INSTANCE    the other one, kvm-amd-2\n"
"  -n, --times N        how often it goes through a custodian (4)\n"
"  -g, --guest LIST     guests that need no VMM (spin,timer_oneshot,timer_periodic,ipi,hlt)\n"
"  -c, --cpus CPUS      vCPUs, 1 to 8 (2)\n"
"  -m, --memory MIB     memory (32)\n"
"  -s, --steps N        steps of every vCPU in between (3)\n"
"  -o, --only           the guests, and none of the cases\n"
"  -w, --wait SECONDS   patience without any progress (120)\n"
"  -h, --help\n";

struct adopt_options adopt_opts = {
	.shape = { .cpus = 2, .mem = 32 << 20 },
	.times = 4,
	.steps = 3,
	.patience = 120,
};

struct common *common;

/* What custodians have written, and the last line of it */
static int hold_in;
static char line[400];

/* Of one guest's way through custodians and VMMs */
struct way {
	__u64	to_hold_us;	/* stops of adoptions by custodians */
	__u64	to_vmm_us;
	__u64	steps;		/* of all vCPUs while no VMM was there */
	unsigned int times;
};

static enum watch_result wrong(struct stage *st, const char *what, const char *more)
{
	snprintf(st->w.why, sizeof(st->w.why), "%s: %.200s", what, more);
	return WATCH_FAIL;
}

static bool read_char(char *c)
{
	return read(hold_in, c, 1) == 1;
}

/* The next line that has this in it; the guest is looked after meanwhile. */
static enum watch_result hold_says(struct stage *st, const char *what)
{
	__u64 since = now_ns();
	size_t n = 0;

	for (;;) {
		if (!read_char(&line[n])) {
			watch_pump(&st->w, 1);
			if (now_ns() - since > adopt_opts.patience * 1000000000ull)
				return wrong(st, "the custodian does not say", what);
			continue;
		}
		if (line[n] != '\n') {
			n += n < sizeof(line) - 1;
			continue;
		}
		line[n] = '\0';
		if (strstr(line, what))
			return WATCH_OK;
		n = 0;
	}
}

static void hold_forget(void)
{
	char c;

	while (read_char(&c))
		;
}

/* Its exit status; it is this process's child, or has come to be it. */
static enum watch_result hold_ended(struct stage *st, pid_t pid, int wanted)
{
	char text[80];
	int status;

	if (waitpid(pid, &status, 0) != pid)
		return wrong(st, "waiting for the custodian", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == wanted)
		return WATCH_OK;
	snprintf(text, sizeof(text), "wait status 0x%x, not exit status %d", status, wanted);
	return wrong(st, "the custodian's end", text);
}

static __u64 progress(struct stage *st)
{
	unsigned int i;
	__u64 sum = 0;

	for (i = 0; i < st->w.shape.cpus; i++)
		sum += VMM_LOAD(vm_cpu_page(st->w.mem, i)->progress);
	return sum;
}

/* What is adopted may lose as much as a pass. */
static void count_pass(struct stage *st)
{
	struct guest_shared *sh = vm_shared(st->w.mem);

	VMM_STORE(sh->passes, sh->passes + 1);
	VMM_STORE(sh->epoch, sh->epoch + 1);
}

static enum watch_result give(struct stage *st, unsigned int n, enum order what, unsigned int to,
			      struct order_msg *m)
{
	*m = order_message(to, false);
	return order_give(st, n, what, m);
}

/* A VM whose descriptors nobody has but its VMM and a session */
static enum watch_result begin(struct stage *st, unsigned int guest)
{
	enum watch_result r = stage_begin(st, guest, 0);
	struct order_msg m = order_message(0, true);
	char dir[] = "/tmp/vmm-hold.XXXXXX";

	if (!mkdtemp(dir))
		return wrong(st, dir, strerror(errno));
	snprintf(common->ticket_path, sizeof(common->ticket_path), "%s/ticket", dir);
	snprintf(common->socket_path, sizeof(common->socket_path), "%s/socket", dir);
	hold_forget();
	m.nth = 600000;
	if (r == WATCH_OK)
		r = order_give(st, 0, ORDER_KEEP, &m);
	stage_close_vm(st);
	return r;
}

/* VMM n starts a custodian and hands the VM to it. */
static enum watch_result hand(struct stage *st, unsigned int n, unsigned int to, pid_t *hold,
			      struct way *way)
{
	unsigned long long us = 0;
	struct order_msg m;
	enum watch_result r;
	const char *at;

	r = give(st, n, ORDER_HAND, to, &m);
	*hold = m.nth;
	if (r == WATCH_OK)
		r = hold_says(st, "adopted on");
	at = r == WATCH_OK ? strstr(line, "stopped for ") : NULL;
	if (at && sscanf(at, "stopped for %llu", &us) == 1 && way)
		way->to_hold_us += us;
	count_pass(st);
	m = order_message(to, false);
	m.flags = ORDER_RUNS;
	if (r == WATCH_OK)
		r = order_give(st, n, ORDER_LEFT, &m);
	vmm_end(&st->vmm[n], false);
	return r;
}

/* The guest makes steps, of which no VMM knows. */
static enum watch_result alone(struct stage *st, struct way *way)
{
	__u64 before = progress(st);
	enum watch_result r = watch_steps(&st->w, adopt_opts.steps);

	if (way)
		way->steps += progress(st) - before;
	return r;
}

/* VMM n is started, and runs the VM, which it has as it was told. */
static enum watch_result go(struct stage *st, unsigned int n, unsigned int to, enum order what,
			    struct way *way)
{
	enum watch_result r = vmm_start_again(st, n);
	struct order_msg m = { 0 };

	st->vmm[n].has = true;
	if (r == WATCH_OK)
		r = give(st, n, what, to, &m);
	if (r == WATCH_OK && what == ORDER_OPEN)
		r = give(st, n, ORDER_ADOPT, to, &m);
	count_pass(st);
	if (way) {
		way->to_vmm_us += m.mv.downtime_ns / 1000;
		way->times += r == WATCH_OK;
	}
	m = order_message(to, false);
	m.flags = ORDER_FROM_HOLD;
	return r == WATCH_OK ? order_give(st, n, ORDER_GO, &m) : r;
}

static void result(const char *name, enum watch_result r, struct stage *st, const struct way *way)
{
	unsigned int n = way ? way->times : 0;

	if (r == WATCH_OK && n)
		ksft_test_result_pass("%s: %u times; stops %llu us, %llu us; %llu steps alone\n",
				      name, n, way->to_hold_us / n, way->to_vmm_us / n,
				      way->steps);
	else if (r == WATCH_OK)
		ksft_test_result_pass("%s\n", name);
	else if (r == WATCH_SKIP)
		ksft_test_result_skip("%s: %s\n", name, st->w.why);
	else
		ksft_test_result_fail("%s: %s\n", name, st->w.why);
	fflush(stdout);
}

/* The session would keep the VM. */
static void leave(struct stage *st)
{
	int dev = ka_open();

	stage_close(st);
	ka_release(dev, common->ticket.session, VFIO_KEEPALIVE_RELEASE_FORCE);
	close(dev);
	unlink(common->ticket_path);
	unlink(common->socket_path);
	*strrchr(common->socket_path, '/') = '\0';
	rmdir(common->socket_path);
}

static void end(const char *name, enum watch_result r, struct stage *st, const struct way *way)
{
	if (r == WATCH_OK)
		r = watch_steps(&st->w, adopt_opts.steps);
	if (r == WATCH_OK)
		r = watch_finish(&st->w);
	if (r == WATCH_OK && way && !way->steps)
		r = wrong(st, "without a VMM", "no step");
	result(name, r, st, way);
	leave(st);
}

/* Orderly: from VMM to custodian to VMM, to and fro between the instances. */
static void test_handed(unsigned int guest)
{
	struct way way = { 0 };
	enum watch_result r;
	struct stage st;
	char name[80];
	unsigned int i;
	pid_t hold;

	snprintf(name, sizeof(name), "handed over: %s", guest_name(guest));
	r = begin(&st, guest);
	for (i = 0; r == WATCH_OK && i < adopt_opts.times; i++) {
		r = hand(&st, i % 2, (i + 1) % 2, &hold, &way);
		if (r == WATCH_OK)
			r = alone(&st, &way);
		if (r == WATCH_OK)
			r = go(&st, !(i % 2), i / 2 % 2, ORDER_ASK, &way);
		if (r == WATCH_OK)
			r = hold_ended(&st, hold, 0);
		if (r == WATCH_OK)
			r = watch_steps(&st.w, adopt_opts.steps);
	}
	end(name, r, &st, &way);
}

/* A custodian that waits until the VMM has ended */
static enum watch_result start_watch(struct stage *st, pid_t *hold)
{
	const char * const args[] = {
		"--socket", common->socket_path, "--ticket", common->ticket_path, "--watch",
		"--deadline", "5000000", "--timeout", "60000", NULL,
	};

	*hold = hold_exec(args, -1);
	return hold_says(st, "watching session");
}

static void test_killed(unsigned int guest)
{
	struct way way = { 0 };
	unsigned long long us;
	enum watch_result r;
	struct stage st;
	char name[80];
	unsigned int i;
	pid_t hold;

	snprintf(name, sizeof(name), "killed: %s", guest_name(guest));
	r = begin(&st, guest);
	for (i = 0; r == WATCH_OK && i < adopt_opts.times; i++) {
		r = start_watch(&st, &hold);
		vmm_end(&st.vmm[i % 2], true);
		if (r == WATCH_OK)
			r = hold_says(&st, "adopted on");
		if (r == WATCH_OK && sscanf(strstr(line, "stopped"), "stopped for %llu", &us) == 1)
			way.to_hold_us += us;
		count_pass(&st);
		if (r == WATCH_OK)
			r = alone(&st, &way);
		if (r == WATCH_OK)
			r = go(&st, !(i % 2), i / 2 % 2, ORDER_ASK, &way);
		if (r == WATCH_OK)
			r = hold_ended(&st, hold, 0);
		if (r == WATCH_OK)
			r = watch_steps(&st.w, adopt_opts.steps);
	}
	end(name, r, &st, &way);
}

/* Nothing runs any more: as much progress as a while before. */
static enum watch_result still(struct stage *st)
{
	__u64 since = now_ns(), before, now = progress(st);

	do {
		before = now;
		usleep(20000);
		now = progress(st);
		if (now_ns() - since > adopt_opts.patience * 1000000000ull)
			return wrong(st, "without a VMM", "it does not stand still");
	} while (now != before);
	return WATCH_OK;
}

static enum watch_result all_wait(struct stage *st)
{
	enum watch_result r = WATCH_OK;
	unsigned int i;

	for (i = 0; r == WATCH_OK && i < st->w.shape.cpus; i++)
		r = hold_says(st, "waits for a VMM");
	return r == WATCH_OK ? still(st) : r;
}

/* Each vCPU comes to an exit soon, and the guest verifies what it gets for an answer. */
static void test_exits(unsigned int guest, bool killed)
{
	enum watch_result r;
	struct stage st;
	char name[80];
	unsigned int i;
	pid_t hold;

	snprintf(name, sizeof(name), "exits wait%s: %s", killed ? ", the custodian is killed" : "",
		 guest_name(guest));
	r = begin(&st, guest);
	for (i = 0; r == WATCH_OK && i < adopt_opts.times; i++) {
		r = hand(&st, i % 2, (i + 1) % 2, &hold, NULL);
		if (r == WATCH_OK)
			r = all_wait(&st);
		if (r == WATCH_OK && killed) {
			kill(hold, SIGKILL);
			waitpid(hold, NULL, 0);
		}
		if (r == WATCH_OK)
			r = go(&st, !(i % 2), i / 2 % 2, killed ? ORDER_OPEN : ORDER_ASK, NULL);
		if (r == WATCH_OK && !killed)
			r = hold_ended(&st, hold, 0);
		if (r == WATCH_OK)
			r = watch_steps(&st.w, adopt_opts.steps);
	}
	end(name, r, &st, NULL);
}

/* The VMM is killed with an exit, whose handling the custodian leaves to the next one. */
static void test_killed_in_exit(unsigned int guest)
{
	struct vm_shape shape = adopt_opts.shape;
	enum watch_result r = WATCH_OK;
	struct order_msg m;
	struct stage st;
	unsigned int n;
	char name[80];
	pid_t hold;

	snprintf(name, sizeof(name), "killed in an exit, which waits: %s", guest_name(guest));
	/* Another vCPU's device would have been killed in the middle. */
	adopt_opts.shape.cpus = 1;
	for (n = 0; n < 2 * adopt_opts.times; n++) {
		r = begin(&st, guest);
		if (r == WATCH_OK)
			r = start_watch(&st, &hold);
		m = order_message(0, true);
		m.nth = 3 * n;
		if (r == WATCH_OK && !order_tell(&st, 0, ORDER_EXIT_AND_DIE, &m))
			r = wrong(&st, "VMM 0", "no order");
		waitpid(st.vmm[0].pid, NULL, 0);
		st.vmm[0].pid = 0;
		if (r == WATCH_OK)
			r = hold_says(&st, "adopted on");
		if (r == WATCH_OK)
			r = all_wait(&st);
		if (r == WATCH_OK)
			r = go(&st, 1, 1, ORDER_ASK, NULL);
		if (r == WATCH_OK)
			r = hold_ended(&st, hold, 0);
		if (r == WATCH_OK)
			r = watch_steps(&st.w, adopt_opts.steps);
		if (r != WATCH_OK || n == 2 * adopt_opts.times - 1)
			break;
		leave(&st);
	}
	end(name, r, &st, NULL);
	adopt_opts.shape = shape;
}

/* The custodian is killed: the VM stands still, and is in the session. */
static void test_hold_killed(void)
{
	enum watch_result r;
	struct stage st;
	pid_t hold;

	r = begin(&st, GUEST_timer_oneshot);
	if (r == WATCH_OK)
		r = hand(&st, 0, 1, &hold, NULL);
	if (r == WATCH_OK)
		r = alone(&st, NULL);
	if (r == WATCH_OK) {
		kill(hold, SIGKILL);
		waitpid(hold, NULL, 0);
		r = still(&st);
	}
	if (r == WATCH_OK)
		r = go(&st, 1, 0, ORDER_OPEN, NULL);
	end("the custodian is killed", r, &st, NULL);
}

/* A VMM asks and dies: the custodian goes on, and the next one gets the VM. */
static void test_asked_and_died(unsigned int guest, bool waits)
{
	enum watch_result r;
	struct order_msg m;
	struct stage st;
	char name[80];
	pid_t hold;

	snprintf(name, sizeof(name), "a VMM asks and dies: %s", guest_name(guest));
	r = begin(&st, guest);
	if (r == WATCH_OK)
		r = hand(&st, 0, 1, &hold, NULL);
	if (r == WATCH_OK)
		r = waits ? all_wait(&st) : alone(&st, NULL);
	if (r == WATCH_OK)
		r = vmm_start_again(&st, 0);
	st.vmm[0].has = true;
	m = order_message(1, false);
	if (r == WATCH_OK && !order_tell(&st, 0, ORDER_ASK_AND_DIE, &m))
		r = wrong(&st, "VMM 0", "no order");
	vmm_end(&st.vmm[0], false);
	if (r == WATCH_OK)
		r = hold_says(&st, "has not adopted the VM");
	/* Where exits wait it was let go of, and is adopted again. */
	if (r == WATCH_OK)
		r = waits ? all_wait(&st) : alone(&st, NULL);
	if (r == WATCH_OK)
		r = go(&st, 1, 0, ORDER_ASK, NULL);
	if (r == WATCH_OK)
		r = hold_ended(&st, hold, 0);
	end(name, r, &st, NULL);
}

/* What ends a custodian leaves the VM in its session. */
static void test_stopped(bool released)
{
	enum watch_result r;
	struct stage st;
	pid_t hold;
	int dev;

	r = begin(&st, GUEST_ipi);
	if (r == WATCH_OK)
		r = hand(&st, 0, 1, &hold, NULL);
	if (r == WATCH_OK)
		r = alone(&st, NULL);
	if (r == WATCH_OK && released) {
		dev = ka_open();
		if (ka_release(dev, common->ticket.session, VFIO_KEEPALIVE_RELEASE_FORCE))
			r = wrong(&st, "release", strerror(errno));
		close(dev);
		if (r == WATCH_OK)
			r = hold_says(&st, "the session was released: the VM stands still");
	} else if (r == WATCH_OK) {
		kill(hold, SIGTERM);
		r = hold_says(&st, "ended by a signal: the VM stands still, in its session");
	}
	if (r == WATCH_OK)
		r = hold_ended(&st, hold, 3);
	if (r == WATCH_OK)
		r = still(&st);
	if (r == WATCH_OK && access(common->socket_path, F_OK) == 0)
		r = wrong(&st, common->socket_path, "is left");
	if (released) {
		result("the session is released", r, &st, NULL);
		leave(&st);
		return;
	}
	if (r == WATCH_OK)
		r = go(&st, 1, 0, ORDER_OPEN, NULL);
	end("the custodian is sent SIGTERM", r, &st, NULL);
}

/* The custodian cannot adopt it: the VMM goes on. */
static void test_not_adopted(void)
{
	struct order_msg m;
	enum watch_result r;
	struct stage st;

	r = begin(&st, GUEST_ipi);
	if (r == WATCH_OK && !inject_set("prepare", "error", EXDEV))
		r = wrong(&st, "debugfs", "takes no error to inject");
	if (r == WATCH_OK) {
		r = give(&st, 0, ORDER_HAND, 1, &m);
		if (r == WATCH_OK)
			r = wrong(&st, "an adoption that fails", "it has not failed");
		else if (m.ret == -EXDEV && strstr(m.why, "stage prepare: asked for in debugfs"))
			r = WATCH_OK;
	}
	inject_set("prepare", "error", 0);
	if (r == WATCH_OK)
		r = hold_says(&st, "the VM is not adopted: stage prepare");
	end("the custodian does not get it", r, &st, NULL);
}

/* It ends with this status, and has said this. */
static enum watch_result ends(struct stage *st, const char * const *args, int status,
			      const char *says)
{
	pid_t hold = hold_exec(args, -1);
	enum watch_result r = hold_says(st, says);

	return r == WATCH_OK ? hold_ended(st, hold, status) : r;
}

/* With another user's session, and a socket that another user may write to */
static enum watch_result other_user(struct stage *st)
{
	const char * const args[] = {
		"-s", common->socket_path, "-t", common->ticket_path, NULL,
	};
	struct kvmrelay_ticket ticket;
	int dev = ka_open(), session;
	enum watch_result r;

	if (seteuid(1000))
		return wrong(st, "seteuid", strerror(errno));
	session = kvmrelay_session_create(dev, "other", 60000, &ticket, NULL);
	if (seteuid(0) || session < 0 ||
	    kvmrelay_ticket_save(common->ticket_path, &ticket, NULL))
		return wrong(st, "session", "none of another user");
	r = ends(st, args, 1, "is user 1000's: start kvm-relay-hold as that user");
	close(session);
	close(dev);
	return r;
}

/* What a user gets wrong */
static void test_refused(void)
{
	const char * const none[] = { "-s", common->socket_path, "-t", "/none", NULL };
	const char * const busy[] = {
		"-s", common->socket_path, "-t", common->ticket_path, NULL,
	};
	const char * const name[] = { "-s", common->socket_path, "-t", common->ticket_path, "-n",
				      "other", "-w", NULL };
	const char * const usages[] = { "-s", common->socket_path, NULL };
	enum watch_result r;
	struct order_msg m;
	struct stage st;
	pid_t hold = 0;

	r = begin(&st, GUEST_spin);
	if (r == WATCH_OK)
		r = ends(&st, usages, 2, "either --ticket or --fd is wanted");
	if (r == WATCH_OK)
		r = ends(&st, none, 1, "/none: No such file or directory");
	if (r == WATCH_OK)
		r = ends(&st, busy, 1, "a process has session");
	if (r == WATCH_OK)
		r = start_watch(&st, &hold);
	if (r == WATCH_OK)
		r = ends(&st, busy, 1, "another process listens there");
	m = order_message(0, true);
	m.nth = 600000;
	if (r == WATCH_OK)
		r = order_give(&st, 0, ORDER_RELEASE, &m);
	if (r == WATCH_OK)
		r = hold_says(&st, "was released: there is nothing to hold");
	if (r == WATCH_OK)
		r = hold_ended(&st, hold, 0);
	if (r == WATCH_OK)
		r = order_give(&st, 0, ORDER_KEEP, &m);
	if (r == WATCH_OK) {
		hold = hold_exec(name, -1);
		r = hold_says(&st, "watching");
		vmm_end(&st.vmm[0], true);
	}
	if (r == WATCH_OK)
		r = hold_says(&st, "the session has no other");
	if (r == WATCH_OK)
		r = hold_ended(&st, hold, 1);
	if (r == WATCH_OK)
		r = go(&st, 1, 0, ORDER_OPEN, NULL);
	if (r == WATCH_OK)
		r = other_user(&st);
	end("what is refused", r, &st, NULL);
}

/* Another user that comes to the socket gets nothing. */
static void test_stranger(void)
{
	struct kvmrelay_vm *vm;
	enum watch_result r;
	int session, status;
	struct stage st;
	struct stat s;
	pid_t hold, pid;

	r = begin(&st, GUEST_spin);
	if (r == WATCH_OK)
		r = hand(&st, 0, 1, &hold, NULL);
	if (r == WATCH_OK && (stat(common->socket_path, &s) || s.st_mode & 077))
		r = wrong(&st, common->socket_path, "others may write to it");
	chmod(common->socket_path, 0777);
	*strrchr(common->socket_path, '/') = '\0';
	chmod(common->socket_path, 0755);
	common->socket_path[strlen(common->socket_path)] = '/';
	fflush(NULL);
	pid = fork();
	if (!pid) {
		int sock;

		if (setuid(1000))
			_exit(2);
		sock = kvmrelay_hold_connect(common->socket_path, NULL);
		_exit(sock < 0 ? 3 : kvmrelay_vm_receive(sock, &vm, &session, NULL) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	if (r == WATCH_OK && status)
		r = wrong(&st, "another user", "gets the VM, or does not ask");
	if (r == WATCH_OK)
		r = hold_says(&st, "is user 1000's");
	if (r == WATCH_OK)
		r = alone(&st, NULL);
	if (r == WATCH_OK)
		r = go(&st, 1, 0, ORDER_ASK, NULL);
	if (r == WATCH_OK)
		r = hold_ended(&st, hold, 0);
	end("another user asks", r, &st, NULL);
}

static void test_left(void)
{
	ksft_test_result(left_nothing(adopt_opts.name, adopt_opts.patience),
			 "no VM is left, and nothing of it\n");
}

#define CASES	14

static void test_cases(void)
{
	test_exits(GUEST_pio, false);
	test_exits(GUEST_mmio, false);
	test_exits(GUEST_pio, true);
	test_exits(GUEST_mmio, true);
	test_killed_in_exit(GUEST_pio);
	test_killed_in_exit(GUEST_mmio);
	test_hold_killed();
	test_asked_and_died(GUEST_ipi, false);
	test_asked_and_died(GUEST_pio, true);
	test_stopped(false);
	test_stopped(true);
	test_not_adopted();
	test_refused();
	test_stranger();
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
	char alone_guests[] = "spin,timer_oneshot,timer_periodic,ipi,hlt", *guests = alone_guests;
	bool set[GUEST_COUNT] = { 0 };
	unsigned int i;
	int c, n, out[2];

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
	/* Custodians are VMMs' children, and end after them. */
	if (common == MAP_FAILED || pipe2(out, O_CLOEXEC) || prctl(PR_SET_CHILD_SUBREAPER, 1) ||
	    fcntl(out[0], F_SETFL, O_NONBLOCK))
		return 2;
	hold_in = out[0];
	hold_out = out[1];
	ksft_print_header();
	ksft_set_plan(2 * n + (adopt_opts.only ? 0 : CASES) + 1);
	for (i = 0; i < GUEST_COUNT; i++) {
		if (!set[i])
			continue;
		test_handed(i);
		test_killed(i);
	}
	if (!adopt_opts.only)
		test_cases();
	test_left();
	ksft_finished();
}
