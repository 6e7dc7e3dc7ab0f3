// SPDX-License-Identifier: GPL-2.0-only
/* vmm-faults: a stage or a VMM that is slow, two moves at once, a VMM that forks or is killed. */
#include <errno.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../vfio/result.h"
#include "faults.h"

void test_deadline(void)
{
	struct trial *t = trial_run("timer_periodic");
	struct kvm_core_move mv = { .deadline_us = 20000 };
	bool ok;
	int r;

	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 50);
	r = move_fd(t->vm->fd, faults_to, &mv);
	inject(KVM_CORE_STAGE_MOVE, "stall_ms", 0);
	ok = says(&mv, r, ETIMEDOUT, KVM_CORE_STAGE_COMMIT, "20000 us") &&
	     vms_on(faults_from) == 1 && vms_on(faults_to) == 0 && mv.downtime_ns > 20000000;
	ok &= trial_end(t);
	result(ok, "past the deadline the move is undone\n");
}

void test_busy(void)
{
	struct trial *t = trial_run("ipi");
	struct kvm_core_move mv = { .timeout_ms = 20000 };
	pthread_t thread;
	void *first;
	bool ok;
	int r;

	inject(KVM_CORE_STAGE_PREPARE, "stall_ms", 500);
	pthread_create(&thread, NULL, mover, t);
	usleep(200000);
	r = move_fd(t->vm->fd, faults_to, &mv);
	pthread_join(thread, &first);
	inject(KVM_CORE_STAGE_PREPARE, "stall_ms", 0);
	/* Which is the first, the scheduler says. */
	ok = r ? says(&mv, r, EBUSY, KVM_CORE_STAGE_RECORD, "being moved") && !first :
		 (long)first == EBUSY;
	ok &= vms_on(faults_to) == 1;
	ok &= trial_end(t);
	result(ok, "of two moves of one VM one wins, the other is EBUSY\n");
}

/* The thread of vCPU 0 stays in userspace with an exit to complete. */
static bool stay, staying;

static bool on_pio(struct vcpu *v, __u16 port, bool in, void *data)
{
	(void)port;
	(void)in;
	(void)data;
	while (v->id == 0 && VMM_LOAD(stay)) {
		VMM_STORE(staying, true);
		usleep(1000);
	}
	return false;
}

void test_away(void)
{
	struct trial *t = trial_begin("pio");
	struct kvm_core_move mv = { .timeout_ms = 2500, .deadline_us = 20000 };
	bool ok;
	int r;

	t->vm->on_pio = on_pio;
	stay = true;
	staying = false;
	vm_resume(t->vm);
	while (!VMM_LOAD(staying))
		usleep(1000);
	r = move_fd(t->vm->fd, faults_to, &mv);
	ok = says(&mv, r, ETIMEDOUT, KVM_CORE_STAGE_STOP, "does not come back") &&
	     mv.attempts > 1 && vms_on(faults_from) == 1;
	VMM_STORE(stay, false);
	memset(&mv, 0, sizeof(mv));
	ok &= watch_steps(&t->w, 2) == WATCH_OK;
	r = move_fd(t->vm->fd, faults_to, &mv);
	ok &= !r && vms_on(faults_to) == 1;
	ok &= trial_end(t);
	result(ok, "a thread that does not come back to KVM_RUN: a timeout\n");
}

/* Nothing of the target is made any more when the time is over. */
void test_late(void)
{
	struct trial *t = trial_run("mem");
	struct kvm_core_move mv = { .timeout_ms = 200, .deadline_us = 5000000 };
	bool ok;
	int r;

	inject(KVM_CORE_STAGE_RECORD, "stall_ms", 300);
	r = move_fd(t->vm->fd, faults_to, &mv);
	inject(KVM_CORE_STAGE_RECORD, "stall_ms", 0);
	ok = says(&mv, r, ETIMEDOUT, KVM_CORE_STAGE_PREPARE, "not made anew in 200 ms") &&
	     vms_on(faults_from) == 1 && !vms_on(faults_to) && watch_steps(&t->w, 2) == WATCH_OK;
	ok &= trial_end(t);
	result(ok, "no time left in prepare: a timeout\n");
}

/* fork() copies the descriptors, exec() with close-on-exec closes the copies. */
void test_fork_exec(void)
{
	struct trial *t = trial_run("irqfd_msi");
	pthread_t thread;
	void *first;
	int status, i;
	bool ok = true;

	inject(KVM_CORE_STAGE_PREPARE, "stall_ms", 300);
	pthread_create(&thread, NULL, mover, t);
	for (i = 0; i < 10; i++) {
		pid_t pid = fork();

		if (!pid) {
			execl("/bin/true", "true", NULL);
			_exit(1);
		}
		ok &= waitpid(pid, &status, 0) == pid && !status;
		watch_pump(&t->w, 10);
	}
	pthread_join(thread, &first);
	inject(KVM_CORE_STAGE_PREPARE, "stall_ms", 0);
	ok &= !first && vms_on(faults_to) == 1;
	ok &= trial_end(t);
	result(ok, "fork and exec of the VMM while it is prepared\n");
}

/* A child whose VM is stopped in a stage when it is killed. */
void test_killed(unsigned int stage)
{
	int status, ctl[2], i;
	char byte;
	bool ok;
	pid_t pid;

	if (pipe(ctl))
		result_bail("pipe\n");
	inject(stage, "stall_ms", 700);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		struct kvm_core_move mv = {
			.timeout_ms = 20000,
		};
		struct trial *t = trial_run("mem");

		if (write(ctl[1], "R", 1) == 1)
			move_fd(t->vm->fd, faults_to, &mv);
		pause();
	}
	ok = read(ctl[0], &byte, 1) == 1;
	usleep(400000);
	kill(pid, SIGKILL);
	ok &= waitpid(pid, &status, 0) == pid && WIFSIGNALED(status);
	inject(stage, "stall_ms", 0);
	for (i = 0; i < 100 && (vms_on(faults_from) || vms_on(faults_to)); i++)
		usleep(50000);
	ok &= vms_on(faults_from) == 0 && vms_on(faults_to) == 0;
	close(ctl[0]);
	close(ctl[1]);
	result(ok, "kill -9 of the VMM in stage %s leaves nothing\n",
	       faults_stages[stage]);
}
