// SPDX-License-Identifier: GPL-2.0-only
/* See vmm-posted.h. */
#include <errno.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include "vmm-posted.h"

struct mover {
	struct test *t;
	const char *to;
	int error;
};

static void *mover(void *arg)
{
	struct mover *m = arg;
	struct kvm_core_move mv = {
		.deadline_us = m->t->o->deadline,
		.timeout_ms = 60000,
	};

	snprintf(mv.instance, sizeof(mv.instance), "%s", m->to);
	m->error = ioctl(m->t->posted.vm->fd, KVM_CORE_VM_MOVE, &mv) ? errno : 0;
	return NULL;
}

/* Neither takes from the other. */
static bool nobody_takes(struct vm *vm, struct vm *next)
{
	unsigned int i;

	for (i = 0; i < vm->shape.cpus; i++)
		if (!posted_refused(next->vcpu[i].fd, vm->vcpu[i].fd, EBUSY) ||
		    !posted_refused(vm->vcpu[i].fd, next->vcpu[i].fd, EBUSY))
			return false;
	return true;
}

static int to_and_fro(struct vm *vm, struct vm *next)
{
	int fd[GUEST_MAX_CPUS], back[GUEST_MAX_CPUS];
	unsigned int i;
	int r;

	for (i = 0; i < vm->shape.cpus; i++) {
		fd[i] = vm->vcpu[i].fd;
		back[i] = next->vcpu[i].fd;
	}
	r = posted_take(next, fd);
	return r ?: posted_take(vm, back);
}

bool posted_while_moved(struct test *t, const char *to)
{
	struct vm *vm = t->posted.vm, *next;
	struct mover m = { .t = t, .to = to };
	bool held, refused;
	pthread_t thread;
	int r;

	next = vm_create(vm->path, &vm->shape, &vm->fds, t->posted.report);
	if (!next || vm_pause(vm))
		return broken(t, "no VM to take the descriptors", errno);
	inject_set("retire", "hold", 1);
	if (pthread_create(&thread, NULL, mover, &m)) {
		inject_set("retire", "hold", 0);
		return broken(t, "no thread", errno);
	}
	held = inject_wait_held("retire", t->o->patience);
	refused = held && nobody_takes(vm, next);
	inject_set("retire", "hold", 0);
	pthread_join(thread, NULL);
	if (m.error)
		return broken(t, "a VM that is paused does not move", m.error);
	if (!held || !refused)
		return broken(t, "a descriptor was taken before its handoff had ended", errno);
	r = to_and_fro(vm, next);
	vm_destroy(next);
	if (r || vm_resume(vm))
		return broken(t, "a descriptor is not taken after its handoff", r);
	t->moves++;
	return go_on(t, t->o->steps);
}
