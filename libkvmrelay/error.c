// SPDX-License-Identifier: GPL-2.0-only
/* Why a call failed. */
#include <stdarg.h>
#include <stdio.h>

#include "private.h"

/**
 * kvmrelay_fail - say why
 * @err: where to, or NULL
 * @error: a negative errno
 * @fmt: the reason, and what is in it
 *
 * Return: @error.
 */
int kvmrelay_fail(struct kvmrelay_error *err, int error, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return error;
	va_start(ap, fmt);
	vsnprintf(err->reason, sizeof(err->reason), fmt, ap);
	va_end(ap);
	return error;
}
