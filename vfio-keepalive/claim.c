// SPDX-License-Identifier: GPL-2.0-only
/*
 * An orphan becomes another's.
 */
#include <linux/capability.h>
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/pid.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include <crypto/algapi.h>

#include "private.h"

static bool same(const u8 *a, const u8 *b)
{
	return !crypto_memneq(a, b, VFIO_KEEPALIVE_TOKEN_LEN);
}

static void token_next(struct session *session)
{
	memcpy(session->spent, session->token, sizeof(session->spent));
	memcpy(session->token, session->next, sizeof(session->token));
	memzero_explicit(session->next, sizeof(session->next));
	session->unconfirmed = false;
	wake_up(&session->wait);
}

/**
 * claim_has - is it a token of this session?
 * @session: the session
 * @token: what may be one
 *
 * Context: keepalive_lock is held.
 * Return: true for the one that is confirmed, and for that of a claim that is not yet.
 */
bool claim_has(const struct session *session, const u8 *token)
{
	bool has = same(token, session->token), next = same(token, session->next);

	return has || (session->unconfirmed && next);
}

/**
 * claim_may - may the caller have to do with it?
 * @session: the session
 * @token: what may be one of its tokens
 * @admin: the caller has CAP_SYS_ADMIN
 *
 * Nothing is said of a session to who does not have its token.
 *
 * Context: keepalive_lock is held.
 * Return: 0; -EACCES, -ESTALE for the token before, -EPERM for another user.
 */
int claim_may(const struct session *session, const u8 *token, bool admin)
{
	bool spent = same(token, session->spent);

	if (!claim_has(session, token))
		return session->claims && spent ? -ESTALE : -EACCES;
	return admin || session_is_mine(session) ? 0 : -EPERM;
}

/* Either all of it happens or nothing; keepalive_lock is held. */
static int claim(const struct vfio_keepalive_claim *args, bool admin, struct account **spare,
		 struct file *file)
{
	struct session *session = xa_load(&sessions, args->session);
	int r;

	if (!session)
		return -ENOENT;
	r = claim_may(session, args->token, admin);
	if (r)
		return r;
	if (session->due)
		return -ENOENT;
	if (session->phase != VFIO_KEEPALIVE_ORPHANED)
		return -EBUSY;
	r = limit_move(session, spare);
	if (r)
		return r;
	/* Who claims with it has it: it need not be confirmed. */
	if (session->unconfirmed && same(args->token, session->next))
		token_next(session);
	memcpy(session->next, args->new_token, sizeof(session->next));
	session->unconfirmed = true;
	session->claims++;
	WRITE_ONCE(session->phase, VFIO_KEEPALIVE_CLAIMED);
	session_give(session, file);
	wake_up(&session->wait);
	return 0;
}

/**
 * claim_confirm - VFIO_KEEPALIVE_CONFIRM
 * @session: the session
 *
 * Context: process.
 * Return: 0, also when there is nothing to confirm; -ENODEV.
 */
long claim_confirm(struct session *session)
{
	int r = -ENODEV;

	mutex_lock(&keepalive_lock);
	if (session_is_usable(session)) {
		if (session->unconfirmed)
			token_next(session);
		r = 0;
	}
	mutex_unlock(&keepalive_lock);
	return r;
}

/**
 * claim_session - VFIO_KEEPALIVE_CLAIM
 * @from: argument
 *
 * Context: process.
 * Return: a descriptor; errnos: see Documentation/vfio-keepalive.rst.
 */
long claim_session(struct vfio_keepalive_claim __user *from)
{
	bool admin = ns_capable_noaudit(&init_user_ns, CAP_SYS_ADMIN);
	struct vfio_keepalive_claim args;
	struct account *spare = NULL;
	struct file *file;
	int fd, r;

	r = keepalive_args(&args, sizeof(args), sizeof(args), from);
	if (r)
		return r;
	r = -EINVAL;
	if (args.flags || args.reserved)
		goto out;
	/* All that can fail but the claim comes first. */
	r = get_random_bytes_wait(args.new_token, sizeof(args.new_token));
	if (r)
		goto out;
	r = -EFAULT;
	if (copy_to_user(from->new_token, args.new_token, sizeof(args.new_token)))
		goto out;
	fd = get_unused_fd_flags(O_CLOEXEC);
	r = fd;
	if (fd < 0)
		goto out;
	file = session_file();
	if (IS_ERR(file)) {
		r = PTR_ERR(file);
		goto out_fd;
	}
	spare = limit_account();
	if (!spare) {
		r = -ENOMEM;
		goto out_file;
	}

	mutex_lock(&keepalive_lock);
	r = claim(&args, admin, &spare, file);
	mutex_unlock(&keepalive_lock);
	if (r)
		goto out_file;
	fd_install(fd, file);
	r = fd;
	goto out;

out_file:
	fput(file);
out_fd:
	put_unused_fd(fd);
out:
	kfree(spare);
	memzero_explicit(&args, sizeof(args));
	return r;
}
