// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opaque states: bytes of a VMM that nobody here looks into.
 */
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/overflow.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "private.h"

/**
 * blob_copy - take bytes from the caller
 * @from: user address
 * @size: number of bytes
 *
 * Context: process, without keepalive_lock.
 * Return: a reference; NULL for 0 bytes; -E2BIG, -EFAULT, -ENOMEM.
 */
struct blob *blob_copy(u64 from, u32 size)
{
	struct blob *blob;

	if (!size)
		return NULL;
	if (size > VFIO_KEEPALIVE_STATE_MAX)
		return ERR_PTR(-E2BIG);
	blob = kvmalloc(struct_size(blob, data, size), GFP_KERNEL_ACCOUNT);
	if (!blob)
		return ERR_PTR(-ENOMEM);
	refcount_set(&blob->ref, 1);
	blob->size = size;
	if (copy_from_user(blob->data, u64_to_user_ptr(from), size)) {
		kvfree(blob);
		return ERR_PTR(-EFAULT);
	}
	return blob;
}

/**
 * blob_put - give a reference back
 * @blob: may be NULL
 */
void blob_put(struct blob *blob)
{
	/* Guest state may have secrets in it. */
	if (blob && refcount_dec_and_test(&blob->ref))
		kvfree_sensitive(blob, struct_size(blob, data, blob->size));
}

/**
 * blob_size - number of bytes
 * @blob: may be NULL
 *
 * Return: number of bytes.
 */
u32 blob_size(const struct blob *blob)
{
	return blob ? blob->size : 0;
}
