/* SPDX-License-Identifier: GPL-2.0-only */
/* CPR: a QEMU replaces itself by another, which takes over memory and descriptors. */
#ifndef __CPR_H
#define __CPR_H

#include <stdbool.h>
#include <stddef.h>

#include "kvmctl.h"
#include "qemu.h"
#include "qmp.h"
#include "threads.h"

/* A QEMU answers at once, but on a busy host it has to get a CPU. */
#define ANSWER_MS	10000

/**
 * struct cpr_options - what is wanted of all
 * @exec:	in the same process (cpr-exec), else in a new one (cpr-transfer)
 * @timeout_ms:	for each
 * @deadline_us:	a guest stands still no longer than this, if there is a way back
 */
struct cpr_options {
	bool exec;
	unsigned int timeout_ms;
	unsigned int deadline_us;
};

/**
 * struct cpr - one QEMU that is replaced
 * @o:		what is wanted
 * @vm:		where it was
 * @q:		the old one
 * @old:	connection to it
 * @path:	of its socket
 * @program:	to run
 * @version:	of the old one, then of the new one
 * @new_pid:	the new one's process
 * @to:		the new one's instance
 * @ran:	the guest was running
 * @asked:	the old one was told to wait for the new one's answer
 * @taken:	it runs in the new one, or may
 * @until:	the end of the time it may take, in ms of CLOCK_MONOTONIC
 * @capabilities: of migration, that the old one has on
 * @threads:	where the old one's threads ran
 * @stopped_us:	how long the guest did not run, 0 if it did not run before
 * @why:	why it failed, one reason a line
 */
struct cpr {
	const struct cpr_options *o;
	const struct vm *vm;
	struct qemu q;
	struct qmp old;
	const char *path;
	const char *program;
	char version[2][32];
	int new_pid;
	char to[KVM_CORE_NAME_LEN];
	bool ran;
	bool asked;
	bool taken;
	long long until;
	json_t *capabilities;
	struct threads threads;
	long long stopped_us;
	char why[2048];
};

/* cpr-check.c */
void cpr_check_process(struct cpr *c);
void cpr_check(struct cpr *c);

/* cpr.c */
void cpr_because(struct cpr *c, const char *format, ...) __printf(2, 3);
long long cpr_now_ms(void);
void cpr_status_of(struct qmp *q, char *to, size_t size);
bool cpr_status_is(struct qmp *q, const char *want);
void cpr_version_of(struct qmp *q, char *to, size_t size);
bool cpr_set_mode(struct cpr *c, const char *mode, json_t *command);
bool cpr_run(struct cpr *c);

#endif
