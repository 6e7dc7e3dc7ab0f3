// SPDX-License-Identifier: GPL-2.0-only
/* Has the descriptors of the VM, looks after its runner, and gives them to the next VMM. */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hold.h"

/**
 * struct keeper - one VM
 * @o:		what it was started with
 * @vm:		its descriptors
 * @session:	which keeps them, or -1
 * @signals:	signalfd
 * @door:	where VMMs ask
 * @runner:	process that runs it, or 0 while it stands still
 * @from:	what the runner says, or -1
 * @adopted:	the runner has it
 * @waiting:	vCPUs with an exit that waits
 * @next:	socket to the VMM that is about to adopt it, or -1
 * @next_pid:	process of that
 */
struct keeper {
	const struct hold_options *o;
	struct kvmrelay_vm *vm;
	int session;
	int signals;
	int door;
	pid_t runner;
	int from;
	bool adopted;
	unsigned int waiting;
	int next;
	pid_t next_pid;
};

enum { P_SIGNALS, P_DOOR, P_RUNNER, P_NEXT, P_SESSION, P_COUNT };

static void start(struct keeper *k)
{
	pid_t self = getpid();
	int sock[2];

	k->adopted = false;
	k->waiting = 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock))
		err(EXIT_FAILED, "socketpair");
	k->runner = fork();
	if (k->runner < 0)
		err(EXIT_FAILED, "fork");
	if (!k->runner) {
		/* Without a keeper the VM stands still, in its session. */
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != self)
			_exit(EXIT_FAILED);
		close(sock[0]);
		close(k->signals);
		close(k->door);
		if (k->session >= 0)
			close(k->session);
		if (k->next >= 0)
			close(k->next);
		if (k->o->vmm >= 0)
			close(k->o->vmm);
		_exit(run(k->o, k->vm, sock[1]));
	}
	close(sock[1]);
	k->from = sock[0];
}

/* Its exit status, or -1 if it was killed */
static int reap(struct keeper *k)
{
	int status = 0;

	while (k->runner && waitpid(k->runner, &status, 0) < 0 && errno == EINTR)
		;
	k->runner = 0;
	if (k->from >= 0)
		close(k->from);
	k->from = -1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Where an exit waits, the VM can be adopted when the process whose it is has ended. */
static void stand_still(struct keeper *k)
{
	if (!k->runner)
		return;
	kill(k->runner, SIGKILL);
	reap(k);
}

static void give(struct keeper *k)
{
	struct kvmrelay_error why;

	k->next = door_accept(k->door, &k->next_pid);
	if (k->next < 0)
		return;
	if (k->waiting)
		stand_still(k);
	/* No exit but those that wait is unhandled, whatever its VMM has done. */
	k->vm->flags |= KVMRELAY_VM_MARKED;
	if (!kvmrelay_vm_send(k->next, k->vm, k->session, &why))
		return;
	complain("process %d does not get the VM: %s", k->next_pid, why.reason);
	close(k->next);
	k->next = -1;
	if (!k->runner)
		start(k);
}

/* True when the next VMM has it. */
static bool given(struct keeper *k)
{
	struct kvmrelay_error why;
	int r = kvmrelay_result(k->next, &why);

	close(k->next);
	k->next = -1;
	if (!r) {
		say("process %d has adopted the VM", k->next_pid);
		return true;
	}
	complain("process %d has not adopted the VM: %s", k->next_pid, why.reason);
	if (!k->runner)
		start(k);
	return false;
}

/* To the VMM that has sent it, once */
static void tell_source(struct keeper *k, int error, const char *reason)
{
	if (k->o->vmm < 0)
		return;
	kvmrelay_report(k->o->vmm, error, reason, NULL);
	shutdown(k->o->vmm, SHUT_RDWR);
}

/* False when the runner has nothing more to say. */
static bool hear(struct keeper *k)
{
	struct runner_msg m;

	if (recv(k->from, &m, sizeof(m), 0) != sizeof(m))
		return false;
	switch (m.kind) {
	case MSG_ADOPTED:
		k->adopted = true;
		tell_source(k, 0, NULL);
		say("adopted on %s: %u vCPUs, stopped for %llu us",
		    *m.move.instance ? m.move.instance : m.move.from, m.move.vcpus,
		    m.move.downtime_ns / 1000);
		break;
	case MSG_FAILED:
		tell_source(k, m.error, m.text);
		complain("%s", m.text);
		break;
	case MSG_WAITS:
		k->waiting++;
		say("vCPU %u waits for a VMM: %s", m.vcpu, m.text);
		/* It was asked for before, and may be adopted now, which this exit stops. */
		if (k->next >= 0)
			stand_still(k);
		break;
	}
	return true;
}

/* Of a runner that has ended by itself: the exit status, or -1 to go on. */
static int ended(struct keeper *k, bool again)
{
	int status;

	while (hear(k))
		;
	status = reap(k);
	if (status == RUNNER_GONE && k->next < 0) {
		say("another process has adopted the VM");
		return 0;
	}
	if (status == RUNNER_GONE)
		return -1;
	if (!k->adopted && !again)
		return EXIT_FAILED;
	complain("the VM stands still: its runner %s", status < 0 ? "was killed" : "has failed");
	return -1;
}

static int stop(struct keeper *k, const char *why)
{
	if (k->runner) {
		kill(k->runner, SIGTERM);
		reap(k);
	}
	say("%s: the VM stands still, %s", why,
	    k->session < 0 ? "and ends with its last descriptor" : "in its session");
	return EXIT_STOPPED;
}

/* True when it was one that ends this process. */
static bool signalled(struct keeper *k)
{
	struct signalfd_siginfo info;

	return read(k->signals, &info, sizeof(info)) == sizeof(info) &&
	       info.ssi_signo != SIGCHLD;
}

/**
 * keep - run the VM until another process has it
 * @o: what is wanted
 * @signals: signalfd
 * @door: where VMMs ask
 * @vm: the VM
 * @session: which keeps it, or -1
 *
 * Return: the program's exit status.
 */
int keep(const struct hold_options *o, int signals, int door, struct kvmrelay_vm *vm,
	 int session)
{
	struct keeper k = {
		.o = o, .vm = vm, .session = session, .signals = signals, .door = door,
		.from = -1, .next = -1,
	};
	bool once = false;
	int status;

	start(&k);
	for (;;) {
		struct pollfd p[P_COUNT] = {
			[P_SIGNALS] = { .fd = signals, .events = POLLIN },
			/* One at a time, and not before it is known that the VM is here. */
			[P_DOOR] = { .fd = k.next < 0 && once ? door : -1, .events = POLLIN },
			[P_RUNNER] = { .fd = k.from, .events = POLLIN },
			[P_NEXT] = { .fd = k.next, .events = POLLIN },
			[P_SESSION] = { .fd = session, .events = 0 },
		};

		if (poll(p, P_COUNT, -1) < 0 && errno != EINTR)
			err(EXIT_FAILED, "poll");
		if (p[P_SIGNALS].revents && signalled(&k))
			return stop(&k, "ended by a signal");
		if (p[P_SESSION].revents & (POLLHUP | POLLERR))
			return stop(&k, "the session was released");
		if (p[P_RUNNER].revents && !hear(&k)) {
			status = ended(&k, once);
			if (status >= 0)
				return status;
		}
		once |= k.adopted;
		if (p[P_NEXT].revents && given(&k)) {
			stand_still(&k);
			return 0;
		}
		if (p[P_DOOR].revents && k.next < 0)
			give(&k);
	}
}
