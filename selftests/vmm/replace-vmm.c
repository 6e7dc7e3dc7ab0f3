// SPDX-License-Identifier: GPL-2.0-only
/* vmm-replace: a VMM, which makes the VM or takes it, runs it, and leaves or is killed. */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include "replace.h"

#define LIMIT_MS	120000
#define TIMEOUT_MS	60000

static __u32 gone;

/* More memory than its cgroup has, until it is killed for that. */
static void eat(void)
{
	for (;;) {
		char *p = malloc(1 << 20);

		if (p)
			memset(p, 1, 1 << 20);
	}
}

void replace_die(const struct replace_vmm *v, enum die where)
{
	if (v->r->die != where || (where >= DIE_EXIT && VMM_LOAD(v->exits_left) > 0))
		return;
	switch (v->r->how) {
	case HOW_KILL:
		kill(getpid(), SIGKILL);
		break;
	case HOW_SEGV:
		raise(SIGSEGV);
		break;
	case HOW_OOM:
		eat();
	}
}

static bool on_exit_of(struct vcpu *c)
{
	struct replace_vmm *v = c->vm->priv;

	/* Of all vCPUs. */
	if (v->r->die >= DIE_EXIT)
		__atomic_fetch_sub(&v->exits_left, 1, __ATOMIC_ACQ_REL);
	replace_die(v, DIE_EXIT);
	return true;
}

static void on_handled(struct vcpu *c)
{
	journal_commit(c->vm->priv, c);
}

/* The last one that sees that the VM is another process's ends this one. */
static void on_gone(struct vcpu *c)
{
	struct replace_vmm *v = c->vm->priv;

	if (__atomic_add_fetch(&gone, 1, __ATOMIC_ACQ_REL) < v->r->shape.cpus)
		return;
	replace_rings_end(v);
	journal_unlock(v);
	_exit(0);
}

static int add_group(struct replace_vmm *v)
{
	struct kvm_device_attr attr = {
		.group = KVM_DEV_VFIO_GROUP, .attr = KVM_DEV_VFIO_GROUP_ADD,
		.addr = (unsigned long)&v->d.group,
	};

	return ioctl(v->vfio, KVM_SET_DEVICE_ATTR, &attr) ? -errno : 0;
}

static void add_device(struct replace_vmm *v)
{
	struct kvm_create_device vfio = { .type = KVM_DEV_TYPE_VFIO };
	struct kvm_userspace_memory_region slot = {
		.slot = SLOT_BAR, .guest_phys_addr = v->r->kind->bar,
		.memory_size = v->d.bar_size, .userspace_addr = (unsigned long)v->d.bar,
	};

	if (ioctl(v->vm->fd, KVM_SET_USER_MEMORY_REGION, &slot))
		err(1, "memslot of BAR 0");
	if (ioctl(v->vm->fd, KVM_CREATE_DEVICE, &vfio))
		err(1, "kvm-vfio");
	v->vfio = vfio.fd;
	if (add_group(v))
		errx(1, "kvm-vfio does not take the group");
}

/* What the guest posts to the VMM, which KVM collects. */
static void add_zone(struct replace_vmm *v)
{
	struct kvm_coalesced_mmio_zone zone = { .addr = GUEST_STREAM, .size = 8 };

	if (ioctl(v->vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone))
		err(1, "coalesced MMIO");
}

static void create_session(struct replace_vmm *v)
{
	struct vfio_keepalive_create a = {
		.argsz = sizeof(a), .flags = VFIO_KEEPALIVE_CREATE_KEEP_OOM,
		.limit_ms = LIMIT_MS, .name = "vmm-replace",
	};

	v->session = ioctl(ka_open(), VFIO_KEEPALIVE_CREATE, &a);
	if (v->session < 0)
		err(1, "session");
	v->common->ticket[0].id = a.session;
	memcpy(v->common->ticket[0].token, a.token, sizeof(a.token));
}

static void first(struct replace_vmm *v)
{
	const struct replace *r = v->r;
	char name[64];
	unsigned int i;

	device_open(&v->d, r->bdf, true);
	device_map_bar(&v->d);
	v->fds.mem = r->mem;
	for (i = 0; i < GUEST_MAX_CPUS; i++) {
		v->fds.irq[i] = -1;
		v->fds.ack[i] = -1;
	}
	v->fds.irq[0] = v->d.msi;
	v->vm = vm_create(v->path, &r->shape, &v->fds, &v->common->report);
	if (!v->vm)
		errx(1, "no VM");
	add_device(v);
	if (r->rings)
		add_zone(v);
	device_map_dma(&v->d, v->vm->mem, 0, r->shape.mem, r->shape.mem);
	r->kind->start(&v->d, v->vm->mem);
	/* Those of the setup */
	usleep(100000);
	device_interrupts(&v->d);
	snprintf(name, sizeof(name), "%s(%s)", r->kind->irq, r->bdf);
	v->up.irqs = host_irqs(name);
	if (vm_boot(v->vm))
		errx(1, "the guest is not there");
	if (r->rings)
		memcpy(r->rings->copy, v->vm->mem, r->shape.mem);
	journal_make(v);
	journal_map(v);
	create_session(v);
	replace_keep_all(v);
	journal_lock(v);
}

/* The VMM before may still have it. */
static int claim_free(struct replace_vmm *v, struct ticket *t)
{
	struct pollfd p = { .events = POLLIN };
	int dev = ka_open(), s;

	while ((s = ka_claim(dev, t)) == -EBUSY) {
		p.fd = ka_watch(dev, t);
		if (p.fd < 0)
			errx(1, "watch: %s", strerror(-p.fd));
		if (poll(&p, 1, TIMEOUT_MS) != 1)
			errx(1, "the VMM before does not leave");
		close(p.fd);
	}
	if (s < 0)
		errx(1, "claim: %s", strerror(-s));
	close(dev);
	v->up.claimed_at = now_ns();
	return s;
}

/* Wherever this ends, one of the two that are stored claims. */
static void claim_session(struct replace_vmm *v)
{
	struct replace_common *common = v->common;
	struct ticket t = common->ticket[common->valid];

	v->session = claim_free(v, &t);
	replace_die(v, DIE_CLAIMED);
	common->ticket[!common->valid] = t;
	VMM_STORE(common->valid, !common->valid);
	replace_die(v, DIE_STORED);
	if (ka_confirm(v->session))
		errx(1, "confirm");
	replace_die(v, DIE_CONFIRMED);
}

/* The VM runs, and goes on to do so until it is adopted; the session comes along. */
static void ask_custodian(struct replace_vmm *v)
{
	struct kvmrelay_error why;

	v->hold = kvmrelay_hold_connect(v->r->hold, &why);
	v->up.claimed_at = now_ns();
	if (v->hold < 0 || kvmrelay_vm_receive(v->hold, &v->got, &v->session, &why))
		errx(1, "from the custodian: %s", why.reason);
}

static void take_all(struct replace_vmm *v)
{
	int r;

	replace_take_all(v);
	journal_map(v);
	device_map_bar(&v->d);
	v->vm = vm_make_room(v->path, &v->r->shape, &v->fds, &v->common->report, v->got);
	if (!v->vm)
		errx(1, "no room");
	r = replace_mappings_drop(&v->d);
	replace_die(v, DIE_ADDRESSES_GONE);
	r = r ?: replace_mappings_move(&v->d, v->vm->mem, v->r->shape.mem);
	if (r)
		errx(1, "mappings: %s", strerror(-r));
	v->up.claim_ns = now_ns() - v->up.claimed_at;
	replace_die(v, DIE_ADDRESSES);
}

static void adopt(struct replace_vmm *v)
{
	struct kvm_core_move mv = { .deadline_us = 5000000, .timeout_ms = TIMEOUT_MS };
	struct kvmrelay_error why;
	unsigned int i;
	int r;

	if (!v->r->same)
		snprintf(mv.instance, sizeof(mv.instance), "%s", v->r->name[v->r->to]);
	if (v->r->bad)
		replace_refused(v);
	r = replace_adopt(v, &mv, &why);
	if (v->hold >= 0)
		kvmrelay_report(v->hold, r, r ? why.reason : NULL, NULL);
	if (r)
		errx(1, "adoption: %s", why.reason);
	v->up.stopped_at = mv.stopped_at_ns;
	v->up.downtime_ns = mv.downtime_ns;
	memcpy(v->common->exits[v->r->turn % 2], v->exits, sizeof(v->exits));
	replace_die(v, DIE_ADOPTED);
	/* The VMM before has an exit in hand until its threads have seen that it is over. */
	journal_lock(v);
	for (i = 0; i < v->r->shape.cpus; i++) {
		__atomic_add_fetch(&v->common->verdicts[v->exits[i] % 3], 1, __ATOMIC_RELAXED);
		journal_recover(v, &v->vm->vcpu[i], v->exits[i]);
	}
	if (v->r->rings)
		v->r->rings->posted += dev_stream_waiting(&v->vm->vcpu[STREAM_CPU]);
	/* After the stop: the group has come along, and is not new. */
	if (add_group(v) != -EEXIST)
		errx(1, "kvm-vfio has lost its group");
	replace_die(v, DIE_RECOVERED);
}

void replace_vmm_run(const struct replace *r)
{
	struct replace_vmm v = {
		.r = r, .common = r->common, .exits_left = r->nth, .vfio = -1, .hold = -1,
		.collecting = PTHREAD_MUTEX_INITIALIZER,
	};
	char byte;

	snprintf(v.path, sizeof(v.path), "/dev/%s", r->name[r->to]);
	replace_die(&v, DIE_STARTED);
	if (!r->turn) {
		first(&v);
	} else {
		memset(v.fds.irq, -1, sizeof(v.fds.irq));
		memset(v.fds.ack, -1, sizeof(v.fds.ack));
		if (r->hold)
			ask_custodian(&v);
		else
			claim_session(&v);
		take_all(&v);
	}
	v.vm->priv = &v;
	if (r->turn)
		adopt(&v);
	v.vm->on_exit = on_exit_of;
	v.vm->on_handled = on_handled;
	v.vm->on_gone = on_gone;
	if (vm_resume(v.vm))
		errx(1, "the vCPUs do not run");
	replace_rings_begin(&v);
	v.up.runs_at = now_ns();
	if (write(r->told, &v.up, sizeof(v.up)) != sizeof(v.up))
		errx(1, "nobody listens");
	if (read(r->leave, &byte, 1) != 1)
		_exit(1);
	/* From here on the next one may claim; the VM goes on until it is adopted. */
	close(v.session);
	for (;;)
		pause();
}
