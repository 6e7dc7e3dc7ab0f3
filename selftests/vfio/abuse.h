/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of keepalive-abuse know of each other. */
#ifndef ABUSE_H
#define ABUSE_H

#include <sys/types.h>
#include "vfio.h"

#define USER	1000
#define LONG	60000

/* keepalive-abuse.c */

/* /dev/vfio-keepalive */
extern int dev;

int session(__u32 limit_ms, struct ticket *ticket);
int in_child(int (*fn)(void *arg), void *arg);
void become(uid_t uid);

/* abuse-interface.c */
void test_interface(void);
void test_refuse(void);
void test_states(void);

/* abuse-claim.c */
void test_claim(void);
void test_races(void);

/* abuse-end.c */
void test_torn(void);
void test_limit(void);
void test_fork(void);
void test_release(void);
void test_request(void);

/* abuse-users.c */
void test_quota(void);
void test_users(void);

/* abuse-compat.c */
void test_compat(void);

#endif
