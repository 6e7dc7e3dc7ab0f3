/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of keepalive-owner know of each other. */
#ifndef OWNER_H
#define OWNER_H

#include <sys/types.h>
#include "vfio.h"

#define USER	1000
#define LONG	60000

/**
 * struct vmm - a process that has a session
 * @pid:	its number
 * @ticket:	of its session
 * @to:		a byte from here makes it go on
 */
struct vmm {
	pid_t pid;
	struct ticket ticket;
	int to;
};

/* keepalive-owner.c: these end the program when something fails */

/* /dev/vfio-keepalive */
extern int dev;

int session(struct ticket *ticket);
int in_child(int (*fn)(const void *arg), const void *arg);
void become(uid_t uid);
void write_file(const char *path, const char *text);
int polled(int fd, bool wait);
struct vmm vmm_start(void (*then)(void));
void vmm_kill(struct vmm *v);

/* owner-token.c */
void test_token(void);
void test_watch(void);
void test_confirm(void);

/* owner-core.c */
int take_core(void);
void test_core(void);

/* owner-items.c */
void test_share(void);
void test_sizes(void);
void test_work(void);
void test_device(const char *one, const char *two);

/* owner-limits.c */
void test_quota(void);
void test_victim(void);
void test_oom(void);

#endif
