/* SPDX-License-Identifier: GPL-2.0-only */
/* The tests of vmm-kept; each tells its result itself. */
#ifndef KEPT_H
#define KEPT_H

#include <linux/types.h>
#include <stdbool.h>

#define PORT		0x10

struct mini;

/* A guest that writes its AL to PORT for ever. */
static const __u8 code_out[] = { 0xe6, PORT, 0xeb, 0xfc };

/* vmm-kept.c */
void kept_end(struct mini *m, const char *what);
/* Here, as kselftest.h counts by files. */
void kept_skip(const char *what, const char *why);
bool kept_is_amd(void);

/* kept-irqchip.c */
void kept_edge(void);
void kept_rtc(void);
void kept_pic(void);

/* kept-clock.c */
void kept_clock(void);
void kept_first_tsc(void);

/* kept-later.c */
void kept_region2(void);
void kept_pre_fault(void);
void kept_bus_cycles(void);

/* kept-nested.c */
void kept_exception(void);
void kept_nested_dr7(void);

/* kept-stats.c */
void kept_stats(void);

#endif
