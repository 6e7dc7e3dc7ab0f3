/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The parts of kvm-relay-hold: a keeper, which has the descriptors and talks to VMMs, and its
 * child, the runner, whose the VM is while it runs. A VM with an exit that nobody has handled
 * can be adopted from a process that has ended, and not from one that lives: so the runner is
 * a process of its own, which the keeper can end.
 */
#ifndef HOLD_H
#define HOLD_H

#include <stdbool.h>
#include <sys/types.h>
#include <kvmrelay.h>

/* Exit statuses; kvm-relay-hold(8) tells them. */
#define EXIT_FAILED	1
#define EXIT_USAGE	2
#define EXIT_STOPPED	3

/* Exit statuses of the runner, besides EXIT_FAILED and EXIT_STOPPED */
#define RUNNER_GONE	0	/* the VM is another process's */

/**
 * struct hold_options - what it was started with
 * @ticket:	file with the ticket of a session, or NULL
 * @watch:	wait until the session can be claimed
 * @vmm:	socket on which a VMM sends the VM, or -1
 * @name:	of the VM in the session
 * @socket:	where the next VMM asks for it
 * @move:	instance and limits of the adoption
 */
struct hold_options {
	const char *ticket;
	bool watch;
	int vmm;
	const char *name;
	const char *socket;
	struct kvm_core_move move;
};

/**
 * struct runner_msg - what the runner tells the keeper
 * @kind:	what it is about
 * @vcpu:	MSG_WAITS: index of the vCPU
 * @error:	MSG_FAILED: a negative errno
 * @move:	MSG_ADOPTED: the result
 * @text:	MSG_FAILED: the reason; MSG_WAITS: the exit
 */
struct runner_msg {
	enum { MSG_ADOPTED, MSG_FAILED, MSG_WAITS } kind;
	unsigned int vcpu;
	int error;
	struct kvm_core_move move;
	char text[KVMRELAY_REASON_LEN];
};

/* main.c: a line on standard output, or on standard error */
__printf(1, 2) void say(const char *fmt, ...);
__printf(1, 2) void complain(const char *fmt, ...);

/* source.c: where the VM comes from; the program ends if it does not come */
void source_get(const struct hold_options *o, int signals, struct kvmrelay_vm **vm,
		int *session);

/* door.c: where VMMs ask */
int door_open(const char *path);
/* A VMM that may have it, or -1; its process */
int door_accept(int door, pid_t *pid);

/* keeper.c: returns the program's exit status */
int keep(const struct hold_options *o, int signals, int door, struct kvmrelay_vm *vm,
	 int session);

/* runner.c: the process's exit status */
int run(const struct hold_options *o, struct kvmrelay_vm *vm, int keeper);

#endif
