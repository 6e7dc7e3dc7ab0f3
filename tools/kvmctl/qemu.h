/* SPDX-License-Identifier: GPL-2.0-only */
/* A QEMU that runs, as /proc shows it, and a second process that has all that the first has. */
#ifndef __QEMU_H
#define __QEMU_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * struct qemu_socket - a UNIX socket at which a QEMU listens
 * @path:	as the process gave it
 * @inode:	of the socket, not of its file
 */
struct qemu_socket {
	char *path;
	unsigned long inode;
};

/**
 * struct qemu - one that runs
 * @pid:	the process
 * @pidfd:	the same, which does not become another one's
 * @args:	its command line, strings one behind the other; @argv points into it
 * @argv:	ends with a NULL
 * @argc:	strings in @argv
 * @exe:	its program's path; what is deleted was there
 * @deleted:	and is not any more
 * @name:	-name's, fit to be printed; or ""
 * @sockets:	at which it listens
 * @nr_sockets:	of these
 * @fds:	numbers of descriptors that its command line names
 * @nr_fds:	of these
 */
struct qemu {
	int pid;
	int pidfd;
	char *args;
	char **argv;
	size_t argc;
	char *exe;
	bool deleted;
	char name[256];
	struct qemu_socket *sockets;
	size_t nr_sockets;
	int *fds;
	size_t nr_fds;
};

const char *qemu_open(struct qemu *q, int pid);
void qemu_close(struct qemu *q);
bool qemu_option(const struct qemu *q, size_t *at, const char **name, const char **value);
bool qemu_value(const char *option, const char *key, char *to, size_t size);
char **qemu_qmp_paths(const struct qemu *q);
bool qemu_ended(const struct qemu *q);
bool qemu_replaced(int pid);
bool qemu_listens(int pid, const char *path);
char *qemu_file(int pid, const char *name, size_t *len);
bool qemu_status(int pid, const char *name, char *to, size_t size);

/**
 * struct twin - a second process with everything that a QEMU has: uids, namespaces, cgroup, ...
 * @helper:	its parent, which has all of that too
 * @sock:	to the helper
 * @dir:	a directory that it made for sockets, as QEMU sees it
 * @pid:	QEMU's, 0 while it does not run
 * @pidfd:	-1 while it does not run
 * @log:	the file to which its standard error goes, or -1
 * @log_from:	where in that file it began
 */
struct twin {
	int helper;
	int sock;
	char dir[512];
	int pid;
	int pidfd;
	int log;
	off_t log_from;
};

/* Makes its command line, which ends with a NULL, when the directory's name is known. */
typedef bool twin_args_fn(char ***argv, const struct qemu *q, const char *program,
			  const char *dir);

const char *twin_open(struct twin *t, const struct qemu *q, unsigned int uid, unsigned int gid,
		      const char *dir, const char *program, twin_args_fn *args);
const char *twin_start(struct twin *t);
bool twin_ended(const struct twin *t);
const char *twin_said(const struct twin *t);
void twin_close(struct twin *t, bool stays);

#endif
