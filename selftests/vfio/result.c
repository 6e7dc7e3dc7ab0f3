// SPDX-License-Identifier: GPL-2.0-only
/* Results as TAP: the counters of a program that has several files. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <kselftest.h>
#include "result.h"

void result_plan(unsigned int n)
{
	ksft_set_plan(n);
}

void result(bool ok, const char *fmt, ...)
{
	char what[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(what, sizeof(what), fmt, args);
	va_end(args);
	ksft_test_result(ok, "%s", what);
}

void check(bool ok, const char *what)
{
	if (ok)
		ksft_test_result_pass("%s\n", what);
	else
		ksft_test_result_fail("%s (errno %d)\n", what, errno);
	fflush(stdout);
}

void is(long got, long want, const char *what)
{
	if (got == want)
		ksft_test_result_pass("%s: %ld\n", what, got);
	else
		ksft_test_result_fail("%s: %ld, not %ld\n", what, got, want);
	fflush(stdout);
}

void result_skip(const char *fmt, ...)
{
	char why[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	ksft_test_result_skip("%s", why);
}

void result_bail(const char *fmt, ...)
{
	char why[160];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	ksft_exit_fail_msg("%s", why);
}

void result_finish(void)
{
	ksft_finished();
}

void result_end(void)
{
	ksft_set_plan(ksft_test_num());
	result_finish();
}
