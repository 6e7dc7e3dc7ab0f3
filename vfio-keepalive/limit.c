// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much may be kept: what is in a session is in no process, so no rlimit sees it.
 * All VMMs of a host may be one user's, so what counts is the session, the memory
 * cgroup, and the host.
 */
#include <linux/cgroup.h>
#include <linux/err.h>
#include <linux/memcontrol.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "private.h"

static unsigned int max_sessions = 4096;
module_param(max_sessions, uint, 0644);
MODULE_PARM_DESC(max_sessions, "Sessions of the host (4096)");

static unsigned int max_cgroup_sessions = 64;
module_param(max_cgroup_sessions, uint, 0644);
MODULE_PARM_DESC(max_cgroup_sessions, "Sessions of a memory cgroup other than the root's (64)");

static unsigned int max_items = 4096;
module_param(max_items, uint, 0644);
MODULE_PARM_DESC(max_items, "Descriptors in a session (4096)");

static unsigned int max_bytes = 4 << 20;
module_param(max_bytes, uint, 0644);
MODULE_PARM_DESC(max_bytes, "Bytes of opaque states in a session (4 MiB)");

/* Longest time limit of an orphan that may be asked for */
unsigned int max_limit_ms = 10 * 60 * MSEC_PER_SEC;
module_param(max_limit_ms, uint, 0644);
MODULE_PARM_DESC(max_limit_ms, "Longest time limit of an orphan, in milliseconds (600000)");

/* Both under keepalive_lock */
static LIST_HEAD(accounts);
static u32 nr_sessions;

/* The number of the caller's memory cgroup, 0 for the root's and where there is none. */
static u64 cgroup_of_caller(void)
{
	u64 id = 0;
#ifdef CONFIG_MEMCG
	struct mem_cgroup *memcg;

	rcu_read_lock();
	memcg = mem_cgroup_from_task(current);
	if (memcg && memcg->css.parent)
		id = cgroup_id(memcg->css.cgroup);
	rcu_read_unlock();
#endif
	return id;
}

/**
 * limit_account - an account for the caller's cgroup, in case that it has none
 *
 * Context: process, without keepalive_lock.
 * Return: to be given to limit_open() or limit_move() and to kfree(); NULL.
 */
struct account *limit_account(void)
{
	struct account *a = kzalloc(sizeof(*a), GFP_KERNEL_ACCOUNT);

	if (a)
		a->cgroup = cgroup_of_caller();
	return a;
}

/* The account of the same cgroup, which may be @spare itself. */
static struct account *account_find(struct account *spare)
{
	struct account *a;

	list_for_each_entry(a, &accounts, link)
		if (a->cgroup == spare->cgroup)
			return a;
	return spare;
}

/* One more session, if it may have that. */
static int account_open(struct account *a, struct account **spare)
{
	if (a->cgroup && a->sessions >= READ_ONCE(max_cgroup_sessions))
		return -EDQUOT;
	if (a == *spare) {
		list_add(&a->link, &accounts);
		*spare = NULL;
	}
	a->sessions++;
	return 0;
}

static void account_close(struct account *a)
{
	if (--a->sessions)
		return;
	list_del(&a->link);
	kfree(a);
}

/**
 * limit_open - a session comes into being
 * @session: has nothing in it
 * @spare: of limit_account(); NULL then if it was of use
 *
 * Context: keepalive_lock is held.
 * Return: 0, -EDQUOT.
 */
int limit_open(struct session *session, struct account **spare)
{
	struct account *a = account_find(*spare);
	int r;

	if (nr_sessions >= READ_ONCE(max_sessions))
		return -EDQUOT;
	r = account_open(a, spare);
	if (r)
		return r;
	nr_sessions++;
	session->account = a;
	return 0;
}

/**
 * limit_move - a session becomes another's
 * @session: the session
 * @spare: of limit_account(), which may be for the same cgroup; NULL then if it was of use
 *
 * Context: keepalive_lock is held.
 * Return: 0; -EDQUOT, then nothing has changed.
 */
int limit_move(struct session *session, struct account **spare)
{
	struct account *a = account_find(*spare);
	int r;

	if (a == session->account)
		return 0;
	r = account_open(a, spare);
	if (r)
		return r;
	account_close(session->account);
	session->account = a;
	return 0;
}

/**
 * limit_close - a session is gone, and all that was in it
 * @session: has been opened
 *
 * Context: keepalive_lock is held.
 */
void limit_close(struct session *session)
{
	account_close(session->account);
	session->account = NULL;
	nr_sessions--;
}

/**
 * limit_charge - more or less is in a session
 * @session: the session
 * @items: items that come, or negative, that go
 * @bytes: the same of opaque states
 *
 * Context: keepalive_lock is held.
 * Return: 0; -EDQUOT, when something would grow past its limit.
 */
int limit_charge(struct session *session, int items, s64 bytes)
{
	if ((items > 0 && session->nr_items + items > READ_ONCE(max_items)) ||
	    (bytes > 0 && session->bytes + bytes > READ_ONCE(max_bytes)))
		return -EDQUOT;
	session->nr_items += items;
	session->bytes += bytes;
	return 0;
}
