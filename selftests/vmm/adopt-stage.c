// SPDX-License-Identifier: GPL-2.0-only
/* Two VMMs, which are processes of their own, and the coordinator, who gives them orders. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "adopt.h"

/* Of each vCPU, where there are dirty rings */
#define RING_PAGES	256

bool vmm_start(struct stage *st, unsigned int n)
{
	struct vmm *v = &st->vmm[n];
	int sock[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sock))
		return false;
	fflush(NULL);
	v->has = false;
	v->pid = fork();
	if (!v->pid) {
		struct adopt_vmm s = {
			.sock = sock[1],
			.shape = st->w.shape,
			.fds = st->fds,
		};
		unsigned int i;

		/* A VMM has nothing but what it is given. */
		for (i = 0; i < 2; i++)
			if (st->vmm[i].sock > 0)
				close(st->vmm[i].sock);
		close(sock[0]);
		kvmrelay_vm_free(st->vm);
		munmap(st->w.mem, st->w.shape.mem);
		adopt_vmm_run(&s);
	}
	close(sock[1]);
	v->sock = sock[0];
	return v->pid > 0;
}

void vmm_end(struct vmm *v, bool kill_it)
{
	if (v->sock > 0)
		close(v->sock);
	v->sock = 0;
	if (v->pid > 0) {
		if (kill_it)
			kill(v->pid, SIGKILL);
		waitpid(v->pid, NULL, 0);
	}
	v->pid = 0;
}

bool order_tell(struct stage *st, unsigned int n, enum order order, struct order_msg *m)
{
	struct vmm *v = &st->vmm[n];
	int session;

	m->order = order;
	if (send(v->sock, m, sizeof(*m), MSG_NOSIGNAL) != sizeof(*m))
		return false;
	if (order == ORDER_CREATE || order == ORDER_DIE_IN_EXIT)
		v->has = !kvmrelay_vm_receive(v->sock, &st->vm, &session, NULL);
	else if (!v->has)
		v->has = !kvmrelay_vm_send(v->sock, st->vm, -1, NULL);
	return v->has;
}

/* The answer; the guest is looked after meanwhile. */
static bool answer(struct stage *st, unsigned int n, struct order_msg *m)
{
	struct pollfd p = { .fd = st->vmm[n].sock, .events = POLLIN };

	while (!poll(&p, 1, 0))
		watch_pump(&st->w, 1);
	return recv(p.fd, m, sizeof(*m), MSG_WAITALL) == sizeof(*m);
}

enum watch_result order_answer(struct stage *st, unsigned int n, struct order_msg *m)
{
	struct watch *w = &st->w;
	enum order what = m->order;

	if (!answer(st, n, m)) {
		snprintf(w->why, sizeof(w->why), "VMM %u does not answer to order %u", n,
			 what);
		return WATCH_FAIL;
	}
	if (!m->ret)
		return WATCH_OK;
	if (m->why[0])
		snprintf(w->why, sizeof(w->why), "%.200s", m->why);
	else
		snprintf(w->why, sizeof(w->why), "stage %u: %.128s (%s)", m->mv.stage,
			 m->mv.reason, strerror(-m->ret));
	return WATCH_FAIL;
}

enum watch_result order_give(struct stage *st, unsigned int n, enum order what,
			     struct order_msg *m)
{
	if (order_tell(st, n, what, m))
		return order_answer(st, n, m);
	snprintf(st->w.why, sizeof(st->w.why), "VMM %u does not take order %u", n, what);
	return WATCH_FAIL;
}

struct order_msg order_message(unsigned int to, bool same)
{
	struct order_msg m = {
		.to = to,
		.mv = { .deadline_us = 5000000, .timeout_ms = 60000 },
	};

	if (!same)
		snprintf(m.mv.instance, sizeof(m.mv.instance), "%s", adopt_opts.name[to]);
	return m;
}

enum watch_result stage_adopt(struct stage *st, unsigned int n, unsigned int to,
			      bool same, bool dead, __u64 *downtime)
{
	struct guest_shared *sh = vm_shared(st->w.mem);
	struct order_msg m = order_message(to, same);
	enum watch_result r;

	r = order_give(st, n, ORDER_ADOPT, &m);
	*downtime += m.mv.downtime_ns;
	VMM_STORE(sh->passes, sh->passes + 1);
	VMM_STORE(sh->epoch, sh->epoch + 1);
	if (r == WATCH_OK && !dead) {
		m = order_message(to, same);
		r = order_give(st, !n, ORDER_LEFT, &m);
	}
	if (r == WATCH_OK && st->w.shape.ring) {
		m = order_message(to, same);
		r = order_give(st, n, ORDER_COLLECT, &m);
	}
	if (r == WATCH_OK) {
		m = order_message(to, same);
		r = order_give(st, n, ORDER_GO, &m);
	}
	return r;
}

bool stage_open(struct stage *st, unsigned int guest, __u32 ring)
{
	struct vm_shape shape = adopt_opts.shape;

	shape.ring = ring;
	if (ring)
		shape.ws_per_cpu = RING_PAGES << 12;
	memset(st, 0, sizeof(*st));
	memset(common, 0, sizeof(*common));
	shape.guest = guest;
	if (vm_fds_make(&shape, &st->fds))
		return false;
	if (watch_open(&st->w, &shape, &st->fds, &common->report))
		return false;
	st->w.patience = adopt_opts.patience;
	return vmm_start(st, 0) && vmm_start(st, 1);
}

void stage_close_vm(struct stage *st)
{
	kvmrelay_vm_free(st->vm);
	st->vm = NULL;
}

void stage_close(struct stage *st)
{
	vmm_end(&st->vmm[0], true);
	vmm_end(&st->vmm[1], true);
	stage_close_vm(st);
	watch_close(&st->w);
	vm_fds_close(&st->fds);
}

enum watch_result stage_begin(struct stage *st, unsigned int guest, __u32 ring)
{
	struct order_msg m = order_message(0, false);
	enum watch_result r;

	if (!stage_open(st, guest, ring)) {
		snprintf(st->w.why, sizeof(st->w.why), "no processes");
		return WATCH_FAIL;
	}
	r = order_give(st, 0, ORDER_CREATE, &m);
	return r == WATCH_OK ? watch_steps(&st->w, adopt_opts.steps) : r;
}

enum watch_result vmm_start_again(struct stage *st, unsigned int n)
{
	if (vmm_start(st, n))
		return WATCH_OK;
	snprintf(st->w.why, sizeof(st->w.why), "no other VMM");
	return WATCH_FAIL;
}
