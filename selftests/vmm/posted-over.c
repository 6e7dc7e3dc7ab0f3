// SPDX-License-Identifier: GPL-2.0-only
/*
 * Of vmm-posted: each VM is a process's of its own, and the next one's vCPUs take the
 * descriptors.
 */
#include <errno.h>
#include <stdio.h>
#include "vmm-posted.h"

/* A VMM on another instance that is to have the VM, and does, or says NOT. */
static bool start_next(struct test *t, struct posted_vmm *next, const char *to,
		       enum posted_answer answer)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/%s", to);
	if (posted_start(next, path, &t->posted.w, &t->vmm, answer == POSTED_NOT))
		return broken(t, "no VMM", errno);
	return posted_wait_for(t, next, answer);
}

bool posted_over_in_vain(struct test *t, const char *to, enum posted_answer answer)
{
	struct posted_vmm next;

	if (!start_next(t, &next, to, answer))
		return false;
	posted_give_back(&next);
	if (!posted_wait_for(t, &t->vmm, POSTED_RUNS))
		return false;
	posted_kill(&next);
	t->in_vain++;
	return go_on(t, t->o->steps);
}

bool posted_over(struct test *t, const char *to)
{
	struct poster_stats st = { .since = now_ns() };
	struct posted_vmm next;

	if (!start_next(t, &next, to, POSTED_TAKEN))
		return false;
	posted_kill(&t->vmm);
	t->vmm = next;
	posted_go(&next);
	if (!posted_wait_for(t, &next, POSTED_RUNS))
		return false;
	return passed(t, &st);
}

bool posted_abandon_over(struct test *t)
{
	struct poster_stats before = { 0 }, after = { 0 };
	struct posted_vmm next;

	if (!start_next(t, &next, t->o->name[0], POSTED_TAKEN) || !get_stats(t, &before))
		return false;
	posted_kill(&next);
	return get_stats(t, &after) &&
	       after.irte_remapped - before.irte_remapped == t->o->cpus &&
	       after.irte_posted == before.irte_posted;
}
