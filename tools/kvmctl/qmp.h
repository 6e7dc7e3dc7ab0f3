/* SPDX-License-Identifier: GPL-2.0-only */
/* QMP, the protocol in which QEMU is told what to do. */
#ifndef __QMP_H
#define __QMP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Of JSON that a QEMU may send before it is given up. */
#define QMP_MAX		(8 << 20)

/**
 * struct qmp - a connection to one QEMU
 * @fd:		-1 for none
 * @pid:	whose connection it is
 * @uid:	its effective ids when it made the socket
 * @gid:	as @uid
 * @id:		of the last command
 * @len:	bytes in @buf that were received and not looked at
 * @size:	of @buf
 * @buf:	what was received
 * @ended:	the other end is closed
 * @stopped_us:	when QEMU says that the guest stopped last, microseconds since 1970; or 0
 * @resumed_us:	when it says that the guest went on last
 * @error:	why the last call failed, fit to be printed
 */
struct qmp {
	int fd;
	int pid;
	unsigned int uid;
	unsigned int gid;
	unsigned long id;
	size_t len;
	size_t size;
	char *buf;
	bool ended;
	long long stopped_us;
	long long resumed_us;
	char error[512];
};

bool qmp_open(struct qmp *q, int pid, const char *path, int ms);
json_t *qmp_call(struct qmp *q, const char *command, json_t *arguments, int ms);
bool qmp_do(struct qmp *q, const char *command, json_t *arguments, int ms);
void qmp_close(struct qmp *q);

#endif
