// SPDX-License-Identifier: GPL-2.0-only
/*
 * libvirt's daemon holds the monitors of its domains, and takes the end of a connection for
 * the end of the domain. While it is stopped it does neither; when it starts it finds
 * them again.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libvirt.h"

/* One at a time has the daemon stopped. */
#define LOCK		"/run/kvm-relay-libvirt.lock"

/* Between two looks at what goes on. */
#define LOOK_US		50000

/* Nothing else is stopped, whoever it is that holds a monitor. */
static const char * const daemons[] = { "virtqemud.service", "libvirtd.service" };

/* Which of the daemons a process is of. */
static const char *daemon_of(int pid)
{
	char *cgroup = qemu_file(pid, "cgroup", NULL), *s, *end;
	const char *unit = NULL;
	size_t i;

	s = cgroup ? strstr(cgroup, "0::/system.slice/") : NULL;
	if (s) {
		s += strlen("0::/system.slice/");
		end = s + strcspn(s, "\n");
		*end = '\0';
		for (i = 0; i < sizeof(daemons) / sizeof(*daemons); i++)
			if (!strcmp(s, daemons[i]))
				unit = daemons[i];
	}
	free(cgroup);
	return unit;
}

/* Who is connected to a descriptor that is a connection to @path; 0 if it is none. */
static int client_of(int fd, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(a) - 1, size = sizeof(int), n = sizeof(struct ucred);
	struct ucred peer;
	int listens;

	if (getsockname(fd, (struct sockaddr *)&a, &len) || a.sun_family != AF_UNIX ||
	    strcmp(a.sun_path, path) ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || listens ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n))
		return 0;
	return peer.pid;
}

/**
 * libvirt_holds - does libvirt's daemon hold a monitor?
 * @q: the QEMU
 * @path: of the monitor's socket, as the QEMU gave it
 *
 * Return: the daemon's unit of systemd, or NULL.
 */
const char *libvirt_holds(const struct qemu *q, const char *path)
{
	const char *unit = NULL;
	struct dirent *de;
	char dir[64];
	int fd, pid;
	DIR *d;

	snprintf(dir, sizeof(dir), "/proc/%d/fd", q->pid);
	d = opendir(dir);
	while (d && !unit && (de = readdir(d))) {
		if (*de->d_name < '0' || *de->d_name > '9')
			continue;
		fd = syscall(SYS_pidfd_getfd, q->pidfd, atoi(de->d_name), 0);
		if (fd < 0)
			continue;
		pid = client_of(fd, path);
		if (pid > 0)
			unit = daemon_of(pid);
		close(fd);
	}
	if (d)
		closedir(d);
	return unit;
}

static bool has(const struct qemu *q, const char *option, const char *key, const char *want)
{
	const char *name, *value;
	char v[256];
	size_t at = 1;

	while (qemu_option(q, &at, &name, &value))
		if (!strcmp(name, option) && qemu_value(value, key, v, sizeof(v)) &&
		    !strcmp(v, want))
			return true;
	return false;
}

/* Of the objects that are memory, each has to be shared. */
static bool shares_memory(const struct qemu *q)
{
	const char *name, *value;
	char v[64];
	size_t at = 1, n = 0;

	while (qemu_option(q, &at, &name, &value)) {
		if (strcmp(name, "object") || !qemu_value(value, NULL, v, sizeof(v)) ||
		    strncmp(v, "memory-backend-", 15))
			continue;
		n++;
		if (!qemu_value(value, "share", v, sizeof(v)) ||
		    (strcmp(v, "on") && strcmp(v, "yes")))
			return false;
	}
	return n;
}

/**
 * libvirt_has - is it the monitor of one of libvirt's domains?
 * @path: of the monitor's socket
 */
bool libvirt_has(const char *path)
{
	return strstr(path, "/libvirt/qemu/");
}

/**
 * libvirt_loses - does a domain have what libvirt does not find in the next QEMU?
 * @q: the domain's QEMU
 *
 * Return: NULL, or what it is.
 */
const char *libvirt_loses(const struct qemu *q)
{
	return has(q, "chardev", NULL, "pty") ?
	       "its console is at another pty then, which virsh console does not find" : NULL;
}

/**
 * libvirt_check - what a domain lacks, as far as its command line tells
 * @c: the QEMU, whose monitor the daemon holds; reasons are added to @c->why
 *
 * So that the daemon is not stopped in vain. What only QEMU knows is asked when it is stopped.
 */
void libvirt_check(struct cpr *c)
{
	const struct qemu *q = &c->q;

	if (!c->o->exec) {
		cpr_because(c, "libvirt finds a domain in the same process only: --mode=exec");
		return;
	}
	if (!shares_memory(q))
		cpr_because(c, "memory is not shared");
	if (!has(q, "machine", "aux-ram-share", "on"))
		cpr_because(c, "no -machine aux-ram-share=on");
	cpr_check_process(c);
}

/**
 * libvirt_hint - the reasons in libvirt's words
 * @c: a domain with reasons in @c->why
 */
void libvirt_hint(struct cpr *c)
{
	static const char shared[] =
		"<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>";
	static const char aux[] =
		"<qemu:arg value='-machine'/><qemu:arg value='aux-ram-share=on'/>";
	static const struct {
		const char *why;
		const char *what;
	} hints[] = {
		{ "memory is not shared", shared },
		{ "share=on as memory-backend", shared },
		{ "aux-ram-share", aux },
		{ "seccomp", "seccomp_sandbox = 0 in qemu.conf" },
		{ "which -add-fd", "a serial port of another type than file" },
	};
	bool hit[sizeof(hints) / sizeof(*hints)];
	size_t i;

	for (i = 0; i < sizeof(hints) / sizeof(*hints); i++)
		hit[i] = strstr(c->why, hints[i].why) && (i != 1 || !hit[0]);
	for (i = 0; i < sizeof(hints) / sizeof(*hints); i++)
		if (hit[i])
			cpr_because(c, "in libvirt, from the domain's next start on: %s",
				    hints[i].what);
}

/* Runs a program; what it says is set to @out, without the last line's end. -1 with errno. */
static int run(char **argv, char *out, size_t size)
{
	posix_spawn_file_actions_t actions;
	char rest[256];
	size_t at = 0;
	int fds[2], status, r;
	ssize_t n;
	pid_t pid;

	*out = '\0';
	if (pipe2(fds, O_CLOEXEC))
		return -1;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 2);
	r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (r) {
		close(fds[0]);
		errno = r;
		snprintf(out, size, "%s: %s", argv[0], strerror(r));
		return -1;
	}
	while ((n = read(fds[0], at + 1 < size ? out + at : rest,
			 at + 1 < size ? size - 1 - at : sizeof(rest))) > 0)
		at += at + 1 < size ? n : 0;
	close(fds[0]);
	out[at] = '\0';
	while (at && out[at - 1] == '\n')
		out[--at] = '\0';
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* systemctl VERB, with units of which some are several. */
static int systemctl(const char *verb, const char *first, const char *more, char *out,
		     size_t size)
{
	char copy[512], *argv[24] = { "systemctl", (char *)verb }, *s, *rest = copy;
	size_t n = 2;

	snprintf(copy, sizeof(copy), "%s", more);
	while ((s = strsep(&rest, " ")) && n < 20)
		if (*s)
			argv[n++] = s;
	if (*first)
		argv[n++] = (char *)first;
	return run(argv, out, size);
}

/* The first line, fit to be printed. */
static void said(char *why, size_t size, const char *what, char *out)
{
	char text[TEXT_LEN(256)];

	out[strcspn(out, "\n")] = '\0';
	text_escape(text, sizeof(text), *out ? out : "no reason given", false);
	snprintf(why, size, "%s: %s", what, text);
}

/* Those of the units that would start the daemon that are there. */
static bool find_sockets(struct libvirt *l, char *out, size_t size)
{
	char *argv[6] = { "systemctl", "show", "--value", "--property=TriggeredBy",
			  l->unit };
	char list[1024], is[64], *s, *rest = list;
	size_t at = 0;

	if (run(argv, out, size))
		return false;
	snprintf(list, sizeof(list), "%s", out);
	while ((s = strsep(&rest, "\n ")))
		if (*s && !systemctl("is-active", s, "", is, sizeof(is)) &&
		    at + strlen(s) + 2 < sizeof(l->sockets))
			at += snprintf(l->sockets + at, sizeof(l->sockets) - at, "%s ", s);
	return true;
}

/* Whatever becomes of this program: systemd starts the daemon when the lock is free. */
static bool set_guard(struct libvirt *l, char *out, size_t size)
{
	char unit[96], copy[sizeof(l->sockets)], *s, *rest = copy;
	char *argv[32] = { "systemd-run", "--quiet", "--collect", unit,
			   "--description=libvirt's daemon, when kvmctl has ended", "flock",
			   LOCK, "systemctl", "start" };
	size_t n = 9;

	snprintf(l->guard, sizeof(l->guard), "kvm-relay-libvirt-%d.service", getpid());
	snprintf(unit, sizeof(unit), "--unit=%s", l->guard);
	memcpy(copy, l->sockets, sizeof(copy));
	while ((s = strsep(&rest, " ")) && n < 30)
		if (*s)
			argv[n++] = s;
	argv[n++] = l->unit;
	return !run(argv, out, size);
}

/**
 * libvirt_stop - have libvirt's daemon let go of its domains' monitors
 * @l: filled in
 * @unit: the daemon's
 * @why: set to why that failed, fit to be printed
 * @size: of @why
 *
 * Return: whether it is stopped. libvirt_start() in either case.
 */
bool libvirt_stop(struct libvirt *l, const char *unit, char *why, size_t size)
{
	char out[1024];

	memset(l, 0, sizeof(*l));
	snprintf(l->unit, sizeof(l->unit), "%s", unit);
	l->lock = open(LOCK, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	/* Of another kvmctl, or of what starts the daemon after one. */
	if (l->lock < 0 || flock(l->lock, LOCK_EX)) {
		snprintf(why, size, "%s: %s", LOCK, strerror(errno));
		return false;
	}
	if (run((char *[]){ "virsh", "--version", NULL }, out, sizeof(out))) {
		said(why, size, "virsh, to see that domains are known again", out);
		return false;
	}
	if (!find_sockets(l, out, sizeof(out))) {
		said(why, size, l->unit, out);
		return false;
	}
	if (!set_guard(l, out, sizeof(out))) {
		said(why, size, "systemd-run", out);
		*l->guard = '\0';
		return false;
	}
	l->begun = true;
	/*
	 * First the daemon: if it stays, nothing has changed, and a socket does not start beside a
	 * service that runs. Somebody may have connected before the sockets were gone.
	 */
	if (systemctl("stop", l->unit, "", out, sizeof(out)) ||
	    (*l->sockets && (systemctl("stop", "", l->sockets, out, sizeof(out)) ||
			     systemctl("stop", l->unit, "", out, sizeof(out))))) {
		said(why, size, "it does not stop", out);
		return false;
	}
	return true;
}

/**
 * libvirt_start - the end of libvirt_stop()
 * @l: what that filled in
 * @why: set to why the daemon does not run
 * @size: of @why
 *
 * Return: whether it runs.
 */
bool libvirt_start(struct libvirt *l, char *why, size_t size)
{
	char out[1024];
	bool ok = true;

	if (l->begun && systemctl("start", l->unit, l->sockets, out, sizeof(out))) {
		said(why, size, l->unit, out);
		ok = false;
	}
	/* One that is needed goes on, and tries once more. */
	if (*l->guard && ok)
		systemctl("stop", l->guard, "", out, sizeof(out));
	if (l->lock >= 0)
		close(l->lock);
	l->lock = -1;
	return ok;
}

/* In an argument: nothing but a UUID. */
static bool find_uuid(const struct qemu *q, char uuid[37])
{
	const char *name, *value;
	size_t at = 1;

	while (qemu_option(q, &at, &name, &value))
		if (!strcmp(name, "uuid") && strlen(value) == 36 &&
		    strspn(value, "0123456789abcdefABCDEF-") == 36) {
			memcpy(uuid, value, 37);
			return true;
		}
	return false;
}

/**
 * libvirt_knows - wait until a daemon that was started has found a domain
 * @l: the daemon
 * @q: the domain's QEMU, looked at after the daemon was stopped
 * @path: of its monitor
 * @why: set to why it has not
 * @size: of @why
 *
 * It has when it holds the monitor and tells the domain's state. It gives up one that it
 * does not come to terms with, by ending it.
 *
 * Return: whether it has.
 */
bool libvirt_knows(const struct libvirt *l, const struct qemu *q, const char *path, char *why,
		   size_t size)
{
	char uuid[37], out[256];
	char *argv[8] = { "virsh", "-q", "-c", "qemu:///system", "domstate", "--domain", uuid };

	if (!find_uuid(q, uuid)) {
		snprintf(why, size, "its command line has no -uuid");
		return false;
	}
	for (;;) {
		if (qemu_ended(q)) {
			snprintf(why, size, "the domain has ended");
			return false;
		}
		systemctl("is-active", l->unit, "", out, sizeof(out));
		if (!strcmp(out, "inactive") || !strcmp(out, "failed")) {
			snprintf(why, size, "%s does not run", l->unit);
			return false;
		}
		if (libvirt_holds(q, path) && !run(argv, out, sizeof(out)) &&
		    (!strcmp(out, "running") || !strcmp(out, "paused")))
			return true;
		usleep(LOOK_US);
	}
}
