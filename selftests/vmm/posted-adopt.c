// SPDX-License-Identifier: GPL-2.0-only
/*
 * Of vmm-posted: VMMs take the VM from each other by KVM_CORE_VM_ADOPT, on the same instance
 * or on the other, some from one that was killed. All is posted to the descriptors that the
 * vCPUs began with.
 */
#include <errno.h>
#include <linux/kvm_core.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "vmm-posted.h"

struct adopt_options adopt_opts;
struct common *common;

static bool told(struct test *t)
{
	snprintf(t->why, sizeof(t->why), "%s", t->stage.w.why);
	return false;
}

bool posted_adopt_begin(struct test *t)
{
	struct order_msg m;

	adopt_opts = (struct adopt_options){
		.name = { t->o->name[0], t->o->name[1] },
		.shape = { .cpus = t->o->cpus, .mem = GUEST_MIN_MEM },
		.patience = t->o->patience,
	};
	common = mmap(NULL, sizeof(*common), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (common == MAP_FAILED || !stage_open(&t->stage, GUEST_posted, 0))
		return broken(t, "no VMMs", errno);
	m = order_message(0, false);
	if (order_give(&t->stage, 0, ORDER_CREATE, &m) != WATCH_OK)
		return told(t);
	t->posted.w = t->stage.w;
	t->posted.fds = t->stage.fds;
	t->posted.report = &common->report;
	return true;
}

void posted_adopt_end(struct test *t)
{
	stage_close(&t->stage);
	munmap(common, sizeof(*common));
}

bool posted_adopt_in_vain(struct test *t, const char *to, unsigned int stage, int error)
{
	unsigned int next = (t->moves + 1) % 2;
	struct order_msg m = order_message(0, false);

	snprintf(m.mv.instance, sizeof(m.mv.instance), "%s", to);
	order_give(&t->stage, next, ORDER_ADOPT, &m);
	if (m.ret != -error || m.mv.stage != stage) {
		snprintf(t->why, sizeof(t->why),
			 "adopted on %s: stage %u, error %d, wanted %u, %d: %.200s", to,
			 m.mv.stage, -m.ret, stage, error, m.why);
		return false;
	}
	t->in_vain++;
	return go_on(t, t->o->steps);
}

static bool leave(struct test *t, unsigned int n, bool dead)
{
	struct order_msg m = order_message(0, false);

	return (dead ? vmm_start_again(&t->stage, n) :
		       order_give(&t->stage, n, ORDER_LEFT, &m)) == WATCH_OK;
}

bool posted_adopt(struct test *t)
{
	/* Instances 0 to 1, 1 to 1, 1 to 0, 0 to 0; each third VMM is dead by then. */
	unsigned int to = (t->moves + 2) / 2 % 2, next = (t->moves + 1) % 2;
	struct order_msg m = order_message(to, t->moves % 2);
	struct poster_stats st = { .since = now_ns() };
	bool dead = t->moves % 3 == 2;

	if (dead) {
		vmm_end(&t->stage.vmm[!next], true);
		t->killed++;
	}
	if (order_give(&t->stage, next, ORDER_ADOPT, &m) != WATCH_OK)
		return told(t);
	if (!dead)
		st.since = m.mv.stopped_at_ns;
	if (!leave(t, !next, dead))
		return told(t);
	m = order_message(to, false);
	if (order_give(&t->stage, next, ORDER_GO, &m) != WATCH_OK)
		return told(t);
	return passed(t, &st);
}
