// SPDX-License-Identifier: GPL-2.0-only
/*
 * An orphan becomes another's.
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/file.h>
#include <linux/pid.h>
#include <linux/random.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/user_namespace.h>
#include <crypto/algapi.h>

#include "private.h"

static bool same(const u8 *a, const u8 *b)
{
	return !crypto_memneq(a, b, VFIO_KEEPALIVE_TOKEN_LEN);
}

/* Nothing is said of a session to who does not have its token. */
static int may_claim(const struct session *session, const u8 *token)
{
	bool spent = same(token, session->spent);

	if (!same(token, session->token))
		return session->claims && spent ? -ESTALE : -EACCES;
	if (!session_is_visible(session))
		return -EPERM;
	if (session->due)
		return -ENOENT;
	return session->phase == VFIO_KEEPALIVE_ORPHANED ? 0 : -EBUSY;
}

/* Either all of it happens or nothing; keepalive_lock is held. */
static int claim(const struct vfio_keepalive_claim *args, struct file *file)
{
	struct session *session = xa_load(&sessions, args->session);
	int r;

	if (!session)
		return -ENOENT;
	r = may_claim(session, args->token);
	if (r)
		return r;
	r = limit_move(session, current_euid());
	if (r)
		return r;
	memcpy(session->spent, session->token, sizeof(session->spent));
	memcpy(session->token, args->new_token, sizeof(session->token));
	session->claims++;
	session->phase = VFIO_KEEPALIVE_CLAIMED;
	session_give(session, file);
	return 0;
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
	struct vfio_keepalive_claim args;
	struct file *file;
	int fd, r;

	r = keepalive_args(&args, sizeof(args), from);
	if (r)
		return r;
	r = -EINVAL;
	if (args.flags || args.reserved)
		goto out;
	/*
	 * All that can fail comes first: a claim that succeeded and did not tell its
	 * token would leave a session that nobody can claim after this process.
	 */
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

	mutex_lock(&keepalive_lock);
	r = claim(&args, file);
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
	memzero_explicit(&args, sizeof(args));
	return r;
}
