// SPDX-License-Identifier: GPL-2.0-only
/*
 * How much a user may have kept: what is in a session is in no process, so no
 * rlimit sees it.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/slab.h>

#include "private.h"

static unsigned int max_sessions = 16;
module_param(max_sessions, uint, 0644);
MODULE_PARM_DESC(max_sessions, "Sessions of one user (16)");

static unsigned int max_items = 1024;
module_param(max_items, uint, 0644);
MODULE_PARM_DESC(max_items, "Descriptors of one user in sessions (1024)");

static unsigned int max_bytes = 16 << 20;
module_param(max_bytes, uint, 0644);
MODULE_PARM_DESC(max_bytes, "Bytes of opaque states of one user (16 MiB)");

/* Longest time limit of an orphan that may be asked for */
unsigned int max_limit_ms = 10 * 60 * MSEC_PER_SEC;
module_param(max_limit_ms, uint, 0644);
MODULE_PARM_DESC(max_limit_ms, "Longest time limit of an orphan, in milliseconds (600000)");

static LIST_HEAD(accounts);

static struct account *account_get(kuid_t uid)
{
	struct account *a;

	list_for_each_entry(a, &accounts, link)
		if (uid_eq(a->uid, uid))
			return a;
	a = kzalloc(sizeof(*a), GFP_KERNEL_ACCOUNT);
	if (!a)
		return NULL;
	a->uid = uid;
	list_add(&a->link, &accounts);
	return a;
}

static void account_put(struct account *a)
{
	if (a->sessions)
		return;
	list_del(&a->link);
	kfree(a);
}

/**
 * limit_open - a session comes into being
 * @session: has nothing in it
 * @uid: whose it is
 *
 * Context: keepalive_lock is held.
 * Return: 0, -EDQUOT, -ENOMEM.
 */
int limit_open(struct session *session, kuid_t uid)
{
	struct account *a = account_get(uid);

	if (!a)
		return -ENOMEM;
	if (a->sessions >= READ_ONCE(max_sessions)) {
		account_put(a);
		return -EDQUOT;
	}
	a->sessions++;
	session->account = a;
	return 0;
}

/**
 * limit_move - a session becomes another user's, with all that is in it
 * @session: the session
 * @uid: the user, who may be its owner as well
 *
 * Context: keepalive_lock is held.
 * Return: 0; -EDQUOT or -ENOMEM, then nothing has changed.
 */
int limit_move(struct session *session, kuid_t uid)
{
	struct account *from = session->account, *to = account_get(uid);

	if (!to)
		return -ENOMEM;
	if (to == from)
		return 0;
	if (to->sessions >= READ_ONCE(max_sessions) ||
	    to->items + session->nr_items > READ_ONCE(max_items) ||
	    to->bytes + session->bytes > READ_ONCE(max_bytes)) {
		account_put(to);
		return -EDQUOT;
	}
	to->sessions++;
	to->items += session->nr_items;
	to->bytes += session->bytes;
	from->sessions--;
	from->items -= session->nr_items;
	from->bytes -= session->bytes;
	account_put(from);
	session->account = to;
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
	struct account *a = session->account;

	a->sessions--;
	a->items -= session->nr_items;
	a->bytes -= session->bytes;
	session->account = NULL;
	account_put(a);
}

/**
 * limit_charge - more or less is in a session
 * @session: the session, of which the sums are kept as well
 * @items: items that come, or negative, that go
 * @bytes: the same of opaque states
 *
 * Context: keepalive_lock is held.
 * Return: 0; -EDQUOT, when something would grow past its limit.
 */
int limit_charge(struct session *session, int items, s64 bytes)
{
	struct account *a = session->account;

	if ((items > 0 && a->items + items > READ_ONCE(max_items)) ||
	    (bytes > 0 && a->bytes + bytes > READ_ONCE(max_bytes)))
		return -EDQUOT;
	a->items += items;
	a->bytes += bytes;
	session->nr_items += items;
	session->bytes += bytes;
	return 0;
}
