// SPDX-License-Identifier: GPL-2.0-only
/* A VMM of vmm-adopt: what it does when it is told. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "adopt.h"

static void on_gone(struct vcpu *v)
{
	VMM_STORE(common->gone[v->id], 1);
}

static unsigned int exits_left;

/* With devices in memory that others have too, this would be all that is left of it. */
static bool die_in_exit(struct vcpu *v)
{
	if (exits_left--)
		return true;
	common->dev[v->id] = v->dev;
	VMM_STORE(common->exit[v->id], v->run->exit_reason);
	while (VMM_LOAD(common->stay))
		usleep(100);
	kill(getpid(), SIGKILL);
	return false;
}

int adopt_broken(struct order_msg *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(m->why, sizeof(m->why), fmt, ap);
	va_end(ap);
	m->ret = -EPROTO;
	return -EPROTO;
}

/* From the VMM's own descriptors, which it may give up with the VM. */
static void own_parts(struct adopt_vmm *s)
{
	unsigned int i;

	vm_parts(s->vm, &s->parts);
	s->parts.vm.vm = dup(s->vm->fd);
	for (i = 0; i < s->shape.cpus; i++)
		s->parts.vcpu[i] = dup(s->vm->vcpu[i].fd);
	s->from = &s->parts.vm;
}

static int child_create(struct adopt_vmm *s, struct order_msg *m)
{
	struct kvmrelay_error why;

	snprintf(s->path, sizeof(s->path), "/dev/%s", adopt_opts.name[0]);
	s->vm = vm_create(s->path, &s->shape, &s->fds, &common->report);
	/* It has said why. */
	if (!s->vm)
		_exit(1);
	s->vm->on_gone = on_gone;
	if (m->order == ORDER_DIE_IN_EXIT)
		s->vm->on_exit = die_in_exit;
	exits_left = m->nth;
	own_parts(s);
	if (kvmrelay_vm_send(s->sock, s->from, -1, &why))
		return adopt_broken(m, "%s", why.reason);
	if (vm_boot(s->vm) || vm_resume(s->vm))
		return adopt_broken(m, "the VM did not start");
	return 0;
}

static int child_handles(struct adopt_vmm *s, struct order_msg *m)
{
	struct kvmrelay_error why;
	int session;

	if (s->from)
		return 0;
	if (kvmrelay_vm_receive(s->sock, &s->from, &session, &why))
		return adopt_broken(m, "%s", why.reason);
	return 0;
}

int adopt_room(struct adopt_vmm *s, struct order_msg *m)
{
	if (child_handles(s, m))
		return m->ret;
	snprintf(s->path, sizeof(s->path), "/dev/%s", adopt_opts.name[m->to]);
	s->vm = vm_make_room(s->path, &s->shape, &s->fds, &common->report, s->from);
	if (!s->vm)
		return adopt_broken(m, "no room for the VM");
	s->vm->on_gone = on_gone;
	return 0;
}

int adopt_vm(struct adopt_vmm *s, struct order_msg *m)
{
	struct kvmrelay_error why;

	if (adopt_room(s, m))
		return m->ret;
	m->ret = vm_adopt(s->vm, &m->mv, s->exits, &why);
	if (m->ret)
		snprintf(m->why, sizeof(m->why), "%s", why.reason);
	if (m->ret || m->mv.flags & KVM_CORE_MOVE_DRY_RUN) {
		vm_destroy(s->vm);
		s->vm = NULL;
		return 0;
	}
	if (m->mv.pid != getpid())
		return adopt_broken(m, "the result has process %d, not %d", m->mv.pid, getpid());
	return 0;
}

/* Who had the VM has not handled the exit that kvm_run shows. */
static bool exit_waits(const struct adopt_vmm *s, const struct order_msg *m, unsigned int i)
{
	if (m->flags & ORDER_FROM_HOLD)
		return kvmrelay_exit_waits(s->vm->vcpu[i].run, s->exits[i]);
	/* One that comes again is handled then. */
	return common->exit[i] && s->exits[i] != KVM_CORE_ADOPT_EXIT_AGAIN;
}

/* The devices are as who had the VM has left them. */
static int child_go(struct adopt_vmm *s, struct order_msg *m)
{
	unsigned int i;

	for (i = 0; i < s->shape.cpus; i++) {
		struct vcpu *v = &s->vm->vcpu[i];

		v->dev = common->dev[i];
		if (!exit_waits(s, m, i))
			continue;
		if (common->exit[i] && v->run->exit_reason != common->exit[i])
			return adopt_broken(m, "kvm_run shows exit %u, not %u",
				      v->run->exit_reason, common->exit[i]);
		if (!vcpu_handle_exit(v))
			return adopt_broken(m, "an exit was not handled");
	}
	return vm_resume(s->vm) ? adopt_broken(m, "the vCPUs do not go on") : 0;
}

static int want(struct order_msg *m, const char *what, long r, int error)
{
	if (r >= 0)
		return adopt_broken(m, "%s of who had it: no error", what);
	if (errno != error)
		return adopt_broken(m, "%s of who had it: %s", what, strerror(errno));
	return 0;
}

/* Each vCPU's thread has come out of KVM_RUN with EIO, and no ioctl does any more. */
static int child_left(struct adopt_vmm *s, struct order_msg *m)
{
	struct kvm_regs regs;
	__u64 since = now_ns();
	unsigned int i;
	int r = 0;

	for (i = 0; i < s->shape.cpus; i++) {
		while (!VMM_LOAD(common->gone[i])) {
			if (now_ns() - since > adopt_opts.patience * 1000000000ull)
				return adopt_broken(m, "vCPU %u of who had it stays in KVM_RUN",
					      i);
			usleep(100);
		}
	}
	r = want(m, "KVM_CHECK_EXTENSION",
		 ioctl(s->vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_NR_VCPUS), EIO);
	for (i = 0; !r && i < s->shape.cpus; i++) {
		common->dev[i] = s->vm->vcpu[i].dev;
		VMM_STORE(common->gone[i], 0);
		if (m->flags & ORDER_RUNS)
			continue;
		r = want(m, "KVM_GET_REGS", ioctl(s->vm->vcpu[i].fd, KVM_GET_REGS, &regs),
			 EIO);
		r = r ?: want(m, "KVM_RUN", ioctl(s->vm->vcpu[i].fd, KVM_RUN, 0), EIO);
	}
	vm_destroy(s->vm);
	s->vm = NULL;
	return r;
}

static void note_page(void *arg, __u32 slot, __u64 offset)
{
	bool *seen = arg;

	if (!slot && offset < adopt_opts.shape.mem >> 12)
		seen[offset] = true;
}

/* Each page of the vCPU's working set was written since the last time. */
static int check_pages(const struct adopt_vmm *s, struct order_msg *m, unsigned int cpu,
		       const bool *seen)
{
	__u64 first = (GUEST_WS + cpu * s->shape.ws_per_cpu) >> 12, i;

	for (i = 0; i < s->shape.ws_per_cpu >> 12; i++)
		if (!seen[first + i])
			return adopt_broken(m, "page %llu of vCPU %u is in no dirty ring", i,
					    cpu);
	return 0;
}

static int child_collect(struct adopt_vmm *s, struct order_msg *m)
{
	bool *seen = calloc(s->shape.mem >> 12, sizeof(*seen));
	struct kvmrelay_error why;
	struct kvmrelay_ring *ring;
	unsigned int i;

	for (i = 0; seen && !m->ret && i < s->shape.cpus; i++) {
		if (kvmrelay_ring_open(&ring, s->vm->vcpu[i].fd, s->shape.ring, common->next[i],
				       &why)) {
			adopt_broken(m, "%s", why.reason);
			break;
		}
		kvmrelay_ring_collect(ring, note_page, seen);
		common->next[i] = kvmrelay_ring_next(ring);
		if (kvmrelay_ring_reset(ring, &why) < 0)
			adopt_broken(m, "%s", why.reason);
		kvmrelay_ring_close(ring);
		if (!m->ret)
			check_pages(s, m, i, seen);
	}
	free(seen);
	return m->ret;
}

void adopt_vmm_run(struct adopt_vmm *s)
{
	struct order_msg m;

	while (recv(s->sock, &m, sizeof(m), MSG_WAITALL) == sizeof(m)) {
		m.ret = 0;
		m.why[0] = '\0';
		switch (m.order) {
		case ORDER_CREATE:
		case ORDER_DIE_IN_EXIT:
			child_create(s, &m);
			break;
		case ORDER_ADOPT:
			adopt_vm(s, &m);
			break;
		case ORDER_GO:
			child_go(s, &m);
			break;
		case ORDER_LEFT:
			child_left(s, &m);
			break;
		case ORDER_BAD:
			adopt_bad(s, &m);
			break;
		case ORDER_BUSY:
			adopt_busy(s, &m);
			break;
		case ORDER_OWN:
			adopt_own(s, &m);
			break;
		case ORDER_COLLECT:
			child_collect(s, &m);
			break;
		case ORDER_KEEP:
			adopt_keep(s, &m);
			break;
		case ORDER_CLAIM:
			adopt_claim(s, &m);
			break;
		case ORDER_RELEASE:
			adopt_release(s, &m);
			break;
		case ORDER_EXIT_AND_DIE:
			exits_left = m.nth;
			VMM_STORE(s->vm->on_exit, die_in_exit);
			break;
		case ORDER_HAND:
			adopt_hand(s, &m);
			break;
		case ORDER_ASK:
		case ORDER_ASK_AND_DIE:
			adopt_ask(s, &m);
			break;
		case ORDER_OPEN:
			adopt_open(s, &m);
			break;
		}
		if (send(s->sock, &m, sizeof(m), MSG_NOSIGNAL) != sizeof(m))
			break;
	}
	_exit(0);
}
