// SPDX-License-Identifier: GPL-2.0-only
/* What /proc tells of a QEMU that runs. It can have written there what it likes. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kvmctl.h"
#include "qemu.h"

/* Of a file in /proc; a list of sockets is as long as the host is busy. */
#define FILE_MAX	(16 << 20)

/* Descriptors have lower numbers, without a limit that nobody needs. */
#define FD_MAX		1048576

/**
 * qemu_file - what is in a file of a process
 * @pid: the process
 * @name: of the file below its directory in /proc
 * @len: set to its length, or NULL
 *
 * Return: the bytes and a 0 behind them, to be freed; NULL with errno.
 */
char *qemu_file(int pid, const char *name, size_t *len)
{
	char path[64], *buf = NULL, *more;
	size_t at = 0, size = 0;
	ssize_t n = 1;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	while (n > 0 && at < FILE_MAX) {
		if (size - at < 4096) {
			more = realloc(buf, size += 65536);
			if (!more)
				break;
			buf = more;
		}
		n = read(fd, buf + at, size - at - 1);
		at += n > 0 ? n : 0;
	}
	close(fd);
	if (n) {
		errno = n < 0 ? errno : E2BIG;
		free(buf);
		return NULL;
	}
	buf[at] = '\0';
	if (len)
		*len = at;
	return buf;
}

/**
 * qemu_status - a field of /proc/PID/status
 * @pid: the process
 * @name: of the field
 * @to: set to its value
 * @size: of @to
 *
 * Return: whether there is one.
 */
bool qemu_status(int pid, const char *name, char *to, size_t size)
{
	char *all = qemu_file(pid, "status", NULL), *line, *rest = all;
	size_t len = strlen(name);
	bool found = false;

	while (rest && !found && (line = strsep(&rest, "\n"))) {
		if (strncmp(line, name, len) || line[len] != ':')
			continue;
		line += len + 1;
		snprintf(to, size, "%s", line + strspn(line, " \t"));
		found = true;
	}
	free(all);
	return found;
}

/**
 * qemu_option - the next option of the command line
 * @q: the QEMU
 * @at: where to look from, 1 at first; set to where to go on
 * @name: set to its name without dashes
 * @value: set to its argument, or ""
 *
 * Return: false when there is none.
 */
bool qemu_option(const struct qemu *q, size_t *at, const char **name, const char **value)
{
	const char *s;

	while (*at < q->argc) {
		s = q->argv[(*at)++];
		if (*s != '-' || !s[1])
			continue;
		*name = s + (s[1] == '-' ? 2 : 1);
		*value = *at < q->argc && *q->argv[*at] != '-' ? q->argv[(*at)++] : "";
		return true;
	}
	return false;
}

/**
 * qemu_value - what an option's argument says of a key
 * @option: such as type,id=a,path=b, where a comma in a value is two; or JSON
 * @key: such as path; NULL for what stands first without a key
 * @to: set to the value
 * @size: of @to
 *
 * Return: whether it is there and fits.
 */
bool qemu_value(const char *option, const char *key, char *to, size_t size)
{
	const char *s = option, *json;
	bool first = true, hit = false;
	size_t n = size, len;
	json_t *o, *v;

	if (*s == '{') {
		o = json_loads(s, 0, NULL);
		v = json_object_get(o, key ? key : "qom-type");
		json = json_string_value(v);
		if (json)
			n = snprintf(to, size, "%s", json);
		else if (json_is_integer(v))
			n = snprintf(to, size, "%lld", (long long)json_integer_value(v));
		else if (json_is_boolean(v))
			n = snprintf(to, size, "%s", json_is_true(v) ? "on" : "off");
		json_decref(o);
		return n < size;
	}
	for (; *s; first = false) {
		len = strcspn(s, "=,");
		hit = key ? s[len] == '=' && len == strlen(key) && !strncmp(s, key, len) :
			    first && s[len] != '=';
		if (s[len] == '=')
			s += len + 1;
		for (n = 0; *s; s++) {
			if (*s == ',' && *++s != ',')
				break;
			if (hit && n + 1 < size)
				to[n] = *s;
			n++;
		}
		if (hit) {
			to[n < size ? n : size - 1] = '\0';
			return n < size;
		}
	}
	return false;
}

/* Strings of a file in which each ends with a 0. */
static char **strings(char *buf, size_t len, size_t *count)
{
	size_t i, n = 0;
	char **v;

	for (i = 0; i < len; i++)
		n += !buf[i];
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return NULL;
	for (i = 0, n = 0; i < len && strlen(buf + i) + i < len; i += strlen(buf + i) + 1)
		v[n++] = buf + i;
	*count = n;
	return v;
}

static bool socket_of(const struct qemu *q, unsigned long inode)
{
	char path[64], link[64], want[64];
	struct dirent *de;
	bool found = false;
	ssize_t n;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", q->pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	dir = opendir(path);
	while (dir && !found && (de = readdir(dir))) {
		n = readlinkat(dirfd(dir), de->d_name, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		found = !strcmp(link, want);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* UNIX sockets with a path at which it listens. */
static bool find_sockets(struct qemu *q)
{
	char *all = qemu_file(q->pid, "net/unix", NULL), *rest = all, *line;
	struct qemu_socket *more;
	unsigned long inode;
	unsigned int flags;
	int at;

	while (rest && (line = strsep(&rest, "\n"))) {
		at = 0;
		/* Number, references, protocol, flags (listens: 0x10000), type, state. */
		if (sscanf(line, "%*[^:]: %*x %*x %x %*x %*x %lu %n", &flags, &inode, &at) != 2 ||
		    !at || !(flags & 0x10000) || !line[at] || line[at] == '@' ||
		    !socket_of(q, inode))
			continue;
		more = reallocarray(q->sockets, q->nr_sockets + 1, sizeof(*more));
		if (!more)
			break;
		q->sockets = more;
		more[q->nr_sockets].inode = inode;
		more[q->nr_sockets].path = strdup(line + at);
		if (!more[q->nr_sockets++].path)
			break;
	}
	free(all);
	return !rest;
}

/* Descriptors by number: fd=3, vhostfds=4:5, in any option. */
static bool find_fds(struct qemu *q)
{
	static const char * const keys[] = { "fd", "fds", "vhostfd", "vhostfds" };
	const char *name, *value, *s;
	char list[256], *end;
	size_t at = 1, i;
	int *more;
	long n;

	while (qemu_option(q, &at, &name, &value)) {
		for (i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
			if (!qemu_value(value, keys[i], list, sizeof(list)))
				continue;
			for (s = list; *s >= '0' && *s <= '9'; s = *end ? end + 1 : end) {
				n = strtol(s, &end, 10);
				if (n < 3 || n >= FD_MAX)
					continue;
				more = reallocarray(q->fds, q->nr_fds + 1, sizeof(*more));
				if (!more)
					return false;
				q->fds = more;
				q->fds[q->nr_fds++] = n;
			}
		}
	}
	return true;
}

static void find_name(struct qemu *q)
{
	const char *name, *value;
	char raw[sizeof(q->name) / 4];
	size_t at = 1;

	while (qemu_option(q, &at, &name, &value))
		if (!strcmp(name, "name") &&
		    (qemu_value(value, "guest", raw, sizeof(raw)) ||
		     qemu_value(value, NULL, raw, sizeof(raw))))
			text_escape(q->name, sizeof(q->name), raw, true);
}

static bool find_exe(struct qemu *q)
{
	static const char gone[] = " (deleted)";
	char path[64], link[PATH_MAX];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/exe", q->pid);
	n = readlink(path, link, sizeof(link) - 1);
	if (n < 0)
		return false;
	link[n] = '\0';
	n -= sizeof(gone) - 1;
	q->deleted = n > 0 && !strcmp(link + n, gone);
	if (q->deleted)
		link[n] = '\0';
	q->exe = strdup(link);
	return q->exe;
}

/**
 * qemu_replaced - is another file where the program of a process was, or none?
 * @pid: the process
 *
 * A package manager puts a new file in its place. Nothing is looked up by the process's own
 * idea of paths, where it can keep who looks waiting.
 */
bool qemu_replaced(int pid)
{
	struct qemu q = { .pid = pid };

	find_exe(&q);
	free(q.exe);
	return q.deleted;
}

static void free_sockets(struct qemu *q)
{
	while (q->nr_sockets)
		free(q->sockets[--q->nr_sockets].path);
	free(q->sockets);
}

/**
 * qemu_listens - does a process listen at a UNIX socket?
 * @pid: the process
 * @path: of the socket, as the process gave it
 */
bool qemu_listens(int pid, const char *path)
{
	struct qemu q = { .pid = pid };
	bool found = false;
	size_t i;

	find_sockets(&q);
	for (i = 0; i < q.nr_sockets; i++)
		found |= q.sockets[i].path && !strcmp(q.sockets[i].path, path);
	free_sockets(&q);
	return found;
}

/**
 * qemu_open - look at a QEMU that runs
 * @q: filled in
 * @pid: its process
 *
 * Return: NULL, or why that failed; nothing is to be closed then.
 */
const char *qemu_open(struct qemu *q, int pid)
{
	const char *why = NULL;
	size_t len = 0;

	memset(q, 0, sizeof(*q));
	q->pid = pid;
	q->pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (q->pidfd < 0)
		return strerror(errno);
	q->args = qemu_file(pid, "cmdline", &len);
	q->argv = q->args ? strings(q->args, len, &q->argc) : NULL;
	if (!q->argv || !find_exe(q))
		why = strerror(errno);
	else if (q->argc < 2)
		why = "its command line cannot be read";
	else if (!find_sockets(q) || !find_fds(q))
		why = strerror(ENOMEM);
	else if (qemu_ended(q))
		why = "it has ended";
	else
		find_name(q);
	if (why)
		qemu_close(q);
	return why;
}

/**
 * qemu_close - the end of qemu_open()
 * @q: what it filled in
 */
void qemu_close(struct qemu *q)
{
	free_sockets(q);
	free(q->fds);
	free(q->exe);
	free(q->argv);
	free(q->args);
	close(q->pidfd);
}

/**
 * qemu_ended - has the process ended?
 * @q: the QEMU
 */
bool qemu_ended(const struct qemu *q)
{
	struct pollfd p = { .fd = q->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* The path of the socket of a -chardev. */
static char *chardev_path(const struct qemu *q, const char *id)
{
	const char *name, *value;
	char v[PATH_MAX], link[64], want[64];
	size_t at = 1, i;
	ssize_t n;

	while (qemu_option(q, &at, &name, &value)) {
		if (strcmp(name, "chardev") || !qemu_value(value, "id", v, sizeof(v)) ||
		    strcmp(v, id) || !qemu_value(value, NULL, v, sizeof(v)) || strcmp(v, "socket"))
			continue;
		if (qemu_value(value, "path", v, sizeof(v)))
			return strdup(v);
		if (!qemu_value(value, "fd", v, sizeof(v)))
			continue;
		snprintf(link, sizeof(link), "/proc/%d/fd/%d", q->pid, atoi(v));
		n = readlink(link, v, sizeof(v) - 1);
		v[n > 0 ? n : 0] = '\0';
		for (i = 0; i < q->nr_sockets; i++) {
			snprintf(want, sizeof(want), "socket:[%lu]", q->sockets[i].inode);
			if (!strcmp(v, want))
				return strdup(q->sockets[i].path);
		}
	}
	return NULL;
}

/* The path of a QMP socket that an option asks for. */
static char *qmp_path(const struct qemu *q, const char *name, const char *value)
{
	char v[PATH_MAX];

	if (!strcmp(name, "qmp") || !strcmp(name, "qmp-pretty")) {
		if (!qemu_value(value, NULL, v, sizeof(v)))
			return NULL;
		if (!strncmp(v, "unix:", 5))
			return strdup(v + 5);
		return strncmp(v, "chardev:", 8) ? NULL : chardev_path(q, v + 8);
	}
	if (!strcmp(name, "mon")) {
		if (!qemu_value(value, "mode", v, sizeof(v)) || strcmp(v, "control"))
			return NULL;
		if (qemu_value(value, "chardev", v, sizeof(v)) ||
		    qemu_value(value, NULL, v, sizeof(v)))
			return chardev_path(q, v);
	}
	if (!strcmp(name, "object") && qemu_value(value, NULL, v, sizeof(v)) &&
	    !strcmp(v, "monitor-qmp") && qemu_value(value, "chardev", v, sizeof(v)))
		return chardev_path(q, v);
	return NULL;
}

/**
 * qemu_qmp_paths - where it may be told what to do
 * @q: the QEMU
 *
 * Return: paths of QMP sockets as it sees them, each to be freed as the array; a NULL ends it.
 * NULL without memory.
 */
char **qemu_qmp_paths(const struct qemu *q)
{
	char **paths = calloc(q->argc + 1, sizeof(*paths));
	const char *name, *value;
	size_t at = 1, n = 0;

	while (paths && qemu_option(q, &at, &name, &value)) {
		paths[n] = qmp_path(q, name, value);
		n += !!paths[n];
	}
	return paths;
}
