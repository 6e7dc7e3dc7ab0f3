/* SPDX-License-Identifier: GPL-2.0-only */
/* Results as TAP. kselftest.h counts by files: here, those of all files of a program. */
#ifndef VFIO_RESULT_H
#define VFIO_RESULT_H

#include <stdbool.h>

void result_plan(unsigned int n);
__printf(2, 3) void result(bool ok, const char *fmt, ...);
void check(bool ok, const char *what);
void is(long got, long want, const char *what);
__printf(1, 2) void result_skip(const char *fmt, ...);
/* These end the program. */
__printf(1, 2) void result_bail(const char *fmt, ...);
void result_finish(void);
/* The plan is what there was. */
void result_end(void);

#endif
