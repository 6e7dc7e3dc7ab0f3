/* SPDX-License-Identifier: GPL-2.0-only */
/* The parts of vmm-operator. */
#ifndef OPERATOR_H
#define OPERATOR_H

#include <stdbool.h>

/* operator-history.c */
bool test_history(const char *from, const char *to);

#endif
