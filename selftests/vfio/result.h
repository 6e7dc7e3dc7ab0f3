/* SPDX-License-Identifier: GPL-2.0-only */
/* Results as TAP. The counters of kselftest.h are of the file that includes it. */
#ifndef VFIO_RESULT_H
#define VFIO_RESULT_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <kselftest.h>

static inline void check(bool ok, const char *what)
{
	if (ok)
		ksft_test_result_pass("%s\n", what);
	else
		ksft_test_result_fail("%s (errno %d)\n", what, errno);
	fflush(stdout);
}

static inline void is(long got, long want, const char *what)
{
	if (got == want)
		ksft_test_result_pass("%s: %ld\n", what, got);
	else
		ksft_test_result_fail("%s: %ld, not %ld\n", what, got, want);
	fflush(stdout);
}

#endif
