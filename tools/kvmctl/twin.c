// SPDX-License-Identifier: GPL-2.0-only
/*
 * A second process that has all that a running QEMU has, and no more: it may do what the
 * first may. All that is done in its name, down to a directory for sockets, is done by a
 * helper that has given up everything else before.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kvmctl.h"
#include "qemu.h"

#define KEPT	".kvmctl"

/* The helper works in directories that may be its VMM's FUSE. */
#define HELPER_S	10

/* What the helper tells. */
struct note {
	enum { NOTE_DIR, NOTE_STARTED, NOTE_FAILED } what;
	int value;
	char text[512];
};

/* What it is told. */
enum { DO_START = 's', DO_UNDO = 'u', DO_STAY = 'k' };

/*
 * What a tap device has once, however many processes have it open: a QEMU that starts sets
 * it anew. 0 is a length that no tap has.
 */
struct tap {
	int header;
	int little;
};

struct helper {
	const struct qemu *q;
	unsigned int uid;	/* of who made the QMP socket */
	unsigned int gid;
	int sock;
	char dir[512];
	char *pidfile;		/* kept under another name */
	bool *kept;		/* so is the file of each socket */
	int *fds;		/* descriptors for QEMU, the first three are 0 to 2 */
	struct tap *taps;	/* for each of @fds */
	char *env;		/* QEMU's environment */
	size_t env_len;
	int pid;
};

static void tell(int sock, int what, int value, const char *format, ...) __printf(4, 5);

static void tell(int sock, int what, int value, const char *format, ...)
{
	struct note n = { .what = what, .value = value };
	va_list ap;

	va_start(ap, format);
	vsnprintf(n.text, sizeof(n.text), format, ap);
	va_end(ap);
	send(sock, &n, sizeof(n), MSG_NOSIGNAL);
}

static void remove_dir(const struct helper *h)
{
	static const char * const names[] = { "cpr", "main", "state" };
	char path[sizeof(h->dir) + 16];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "%s/%s", h->dir, names[i]);
		unlink(path);
	}
	rmdir(h->dir);
}

static void keep_names_end(const struct helper *h, bool stays)
{
	char from[PATH_MAX];
	size_t i;

	for (i = 0; i < h->q->nr_sockets; i++) {
		if (!h->kept || !h->kept[i])
			continue;
		snprintf(from, sizeof(from), "%s" KEPT, h->q->sockets[i].path);
		if (!stays)
			rename(from, h->q->sockets[i].path);
		/* A file renamed to another name of its own keeps both. */
		unlink(from);
	}
	if (!h->pidfile)
		return;
	snprintf(from, sizeof(from), "%s" KEPT, h->pidfile);
	if (stays)
		unlink(from);
	else
		rename(from, h->pidfile);
}

/* What it has made, and renamed, for as long as that is there. */
static const struct helper *made;

/* For what cannot be done, without which the twin would be less, or more, than QEMU is. */
static void give_up(int sock, const char *what, int error)
{
	if (made) {
		keep_names_end(made, false);
		remove_dir(made);
	}
	tell(sock, NOTE_FAILED, error, "%s: %s", what, strerror(error));
	_exit(1);
}

static void join_cgroup(const struct helper *h)
{
	char *theirs = qemu_file(h->q->pid, "cgroup", NULL);
	char *ours = qemu_file(getpid(), "cgroup", NULL);
	char path[PATH_MAX], *s;
	int fd;

	/* Without cgroups in the kernel there is no such file. */
	if (theirs && (!ours || strcmp(theirs, ours))) {
		s = strstr(theirs, "0::");
		if (!s)
			give_up(h->sock, "its cgroup is none of version 2", EOPNOTSUPP);
		snprintf(path, sizeof(path), "/sys/fs/cgroup%.*s/cgroup.procs",
			 (int)strcspn(s + 3, "\n"), s + 3);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) != 1)
			give_up(h->sock, path, errno);
		close(fd);
	}
	free(theirs);
	free(ours);
}

static void take_limits(const struct helper *h)
{
	int pid = h->q->pid, i, fd;
	char *oom = qemu_file(pid, "oom_score_adj", NULL);
	struct rlimit limit;
	cpu_set_t *cpus;
	size_t size;

	for (i = 0; i < RLIM_NLIMITS; i++)
		if (prlimit(pid, i, NULL, &limit) || setrlimit(i, &limit))
			give_up(h->sock, "its resource limits", errno);
	errno = 0;
	i = getpriority(PRIO_PROCESS, pid);
	if (errno || setpriority(PRIO_PROCESS, 0, i))
		give_up(h->sock, "its nice value", errno);
	cpus = CPU_ALLOC(8192);
	size = CPU_ALLOC_SIZE(8192);
	if (!cpus || sched_getaffinity(pid, size, cpus) || sched_setaffinity(0, size, cpus))
		give_up(h->sock, "its CPUs", errno);
	CPU_FREE(cpus);
	fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (!oom || fd < 0 || write(fd, oom, strlen(oom)) < 0)
		give_up(h->sock, "its oom_score_adj", errno);
	close(fd);
	free(oom);
}

static void enter_namespaces(const struct helper *h)
{
	char path[64];
	int root, cwd;

	snprintf(path, sizeof(path), "/proc/%d/root", h->q->pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/cwd", h->q->pid);
	cwd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0 || cwd < 0)
		give_up(h->sock, path, errno);
	if (setns(h->q->pidfd, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			       CLONE_NEWPID | CLONE_NEWCGROUP))
		give_up(h->sock, "its namespaces", errno);
	if (fchdir(root) || chroot(".") || fchdir(cwd))
		give_up(h->sock, "its root directory", errno);
}

static unsigned long long status_bits(const struct helper *h, const char *name)
{
	char v[64];

	if (!qemu_status(h->q->pid, name, v, sizeof(v)))
		give_up(h->sock, name, ENOENT);
	return strtoull(v, NULL, 16);
}

static void ids_of(const struct helper *h, const char *name, unsigned int ids[3])
{
	char v[128];

	if (!qemu_status(h->q->pid, name, v, sizeof(v)) ||
	    sscanf(v, "%u %u %u", &ids[0], &ids[1], &ids[2]) != 3)
		give_up(h->sock, name, ENOENT);
}

/* Its ids, and of root's rights those that it has. */
struct rights {
	unsigned int uid[3];
	unsigned int gid[3];
	gid_t groups[NGROUPS_MAX];
	size_t nr_groups;
	unsigned long long caps;
	bool no_new;
	unsigned int umask;
};

static struct rights *look_at_rights(const struct helper *h)
{
	struct rights *r = calloc(1, sizeof(*r));
	char *list = malloc(NGROUPS_MAX), *s, *end;
	char v[64];

	if (!r || !list)
		give_up(h->sock, "its rights", ENOMEM);
	ids_of(h, "Uid", r->uid);
	ids_of(h, "Gid", r->gid);
	/* It may have executed a program meanwhile that has more than it. */
	if (r->uid[0] != h->uid || r->uid[1] != h->uid || r->uid[2] != h->uid ||
	    r->gid[0] != h->gid || r->gid[1] != h->gid || r->gid[2] != h->gid)
		give_up(h->sock, "its ids are others than when it made its socket", EPERM);
	if (!qemu_status(h->q->pid, "Groups", list, NGROUPS_MAX))
		give_up(h->sock, "Groups", ENOENT);
	for (s = list; r->nr_groups < NGROUPS_MAX; s = end) {
		r->groups[r->nr_groups] = strtoul(s, &end, 10);
		if (end == s)
			break;
		r->nr_groups++;
	}
	free(list);
	/* What root has after an exec is what the bounding set leaves it. */
	r->caps = status_bits(h, r->uid[1] ? "CapBnd" : "CapPrm");
	r->no_new = status_bits(h, "NoNewPrivs");
	if (!qemu_status(h->q->pid, "Umask", v, sizeof(v)))
		give_up(h->sock, "Umask", ENOENT);
	r->umask = strtoul(v, NULL, 8);
	return r;
}

static void take_rights(const struct helper *h, const struct rights *r)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];
	int i;

	for (i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
		if (!(r->caps >> i & 1) && prctl(PR_CAPBSET_DROP, i))
			give_up(h->sock, "its capabilities", errno);
	if (setgroups(r->nr_groups, r->groups) ||
	    setresgid(r->gid[0], r->gid[1], r->gid[2]) ||
	    setresuid(r->uid[0], r->uid[1], r->uid[2]))
		give_up(h->sock, "its user and groups", errno);
	/* Without root's id there are none any more. */
	if (syscall(SYS_capget, &header, caps))
		give_up(h->sock, "its capabilities", errno);
	for (i = 0; i < 2; i++) {
		caps[i].effective &= r->caps >> 32 * i;
		caps[i].permitted &= r->caps >> 32 * i;
		caps[i].inheritable &= r->caps >> 32 * i;
	}
	if (syscall(SYS_capset, &header, caps))
		give_up(h->sock, "its capabilities", errno);
	if (r->no_new && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		give_up(h->sock, "its no_new_privs", errno);
	umask(r->umask);
}

/*
 * Copies of the descriptors that a second process needs under the same numbers. Taken with its
 * own rights: what it executes may have opened files that are not for it.
 */
static void take_fds(struct helper *h)
{
	const struct qemu *q = h->q;
	int high = 3, fd;
	char what[64];
	size_t i;

	for (i = 0; i < q->nr_fds; i++)
		if (q->fds[i] >= high)
			high = q->fds[i] + 1;
	h->fds = calloc(3 + q->nr_fds, sizeof(*h->fds));
	h->taps = calloc(3 + q->nr_fds, sizeof(*h->taps));
	if (!h->fds || !h->taps)
		give_up(h->sock, "descriptors", ENOMEM);
	for (i = 0; i < 3 + q->nr_fds; i++) {
		fd = syscall(SYS_pidfd_getfd, q->pidfd, i < 3 ? (int)i : q->fds[i - 3], 0);
		if (fd < 0 && i < 3 && errno == EBADF)
			fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		h->fds[i] = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, high);
		if (h->fds[i] < 0 && i >= 3) {
			snprintf(what, sizeof(what), "descriptor %d, which its command line names",
				 q->fds[i - 3]);
			give_up(h->sock, what, errno);
		}
		if (h->fds[i] < 0)
			give_up(h->sock, "its standard streams", errno);
		close(fd);
		if (ioctl(h->fds[i], TUNGETVNETHDRSZ, &h->taps[i].header) ||
		    ioctl(h->fds[i], TUNGETVNETLE, &h->taps[i].little))
			h->taps[i].header = 0;
	}
}

/* The first QEMU goes on with them. */
static void restore_taps(const struct helper *h)
{
	size_t i;

	for (i = 3; i < 3 + h->q->nr_fds; i++) {
		if (!h->taps[i].header)
			continue;
		ioctl(h->fds[i], TUNSETVNETHDRSZ, &h->taps[i].header);
		ioctl(h->fds[i], TUNSETVNETLE, &h->taps[i].little);
	}
}

static void make_dir(struct helper *h, const char *in)
{
	char what[sizeof(h->dir) + 16];

	snprintf(what, sizeof(what), "a directory in %s", in);
	if (snprintf(h->dir, sizeof(h->dir), "%s/" KEPT ".XXXXXX", in) >= (int)sizeof(h->dir))
		give_up(h->sock, what, ENAMETOOLONG);
	if (!mkdtemp(h->dir))
		give_up(h->sock, what, errno);
	made = h;
}

/* The second process takes these names over; they go back if it is undone. */
static void keep_names(struct helper *h)
{
	const char *name, *value;
	char to[PATH_MAX];
	size_t at = 1, i;

	h->kept = calloc(h->q->nr_sockets + 1, sizeof(*h->kept));
	if (!h->kept)
		give_up(h->sock, "sockets", ENOMEM);
	for (i = 0; i < h->q->nr_sockets; i++) {
		snprintf(to, sizeof(to), "%s" KEPT, h->q->sockets[i].path);
		unlink(to);
		h->kept[i] = !link(h->q->sockets[i].path, to);
		if (!h->kept[i] && errno != ENOENT)
			give_up(h->sock, to, errno);
	}
	/* It is locked by who wrote it. */
	while (qemu_option(h->q, &at, &name, &value))
		if (!strcmp(name, "pidfile"))
			h->pidfile = strdup(value);
	if (!h->pidfile)
		return;
	snprintf(to, sizeof(to), "%s" KEPT, h->pidfile);
	if (rename(h->pidfile, to) && errno != ENOENT)
		give_up(h->sock, h->pidfile, errno);
}

static void run(struct helper *h, const char *program, twin_args_fn *args)
{
	char **envp = calloc(h->env_len + 2, sizeof(*envp)), **argv;
	const struct qemu *q = h->q;
	int bad[2], error = 0;
	sigset_t none;
	size_t n, i;

	if (!args(&argv, q, program, h->dir) || !envp || pipe2(bad, O_CLOEXEC))
		give_up(h->sock, program, errno);
	/* By this a QEMU knows that it goes on in the same process. */
	for (i = 0, n = 0; i < h->env_len; i += strlen(h->env + i) + 1)
		if (strncmp(h->env + i, "QEMU_CPR_EXEC_STATE=", 20))
			envp[n++] = h->env + i;
	h->pid = fork();
	if (!h->pid) {
		setsid();
		/* Also what this program was given by the one that started it. */
		close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
		for (i = 0; i < 3 + q->nr_fds; i++)
			if (dup2(h->fds[i], i < 3 ? (int)i : q->fds[i - 3]) < 0)
				_exit(127);
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		execve(program, argv, envp);
		error = errno;
		if (write(bad[1], &error, sizeof(error)) < 0)
			_exit(126);
		_exit(127);
	}
	close(bad[1]);
	if (h->pid < 0)
		error = errno;
	else if (read(bad[0], &error, sizeof(error)) > 0)
		waitpid(h->pid, NULL, 0);
	close(bad[0]);
	if (error) {
		h->pid = 0;
		tell(h->sock, NOTE_FAILED, error, "%s: %s", program, strerror(error));
	} else {
		tell(h->sock, NOTE_STARTED, h->pid, "%s", "");
	}
}

static void help(struct helper *h, const char *dir, const char *program, twin_args_fn *args)
{
	struct rights *r = look_at_rights(h);
	char order = 0;

	if (program) {
		h->env = qemu_file(h->q->pid, "environ", &h->env_len);
		if (!h->env)
			give_up(h->sock, "its environment", errno);
	}
	join_cgroup(h);
	take_limits(h);
	/* All that was read was its own, and not that of a process with its number. */
	if (qemu_ended(h->q))
		give_up(h->sock, "it has ended", ESRCH);
	enter_namespaces(h);
	take_rights(h, r);
	free(r);
	if (program)
		take_fds(h);
	make_dir(h, dir);
	tell(h->sock, NOTE_DIR, 0, "%s", h->dir);
	/* When the one that gives orders is killed, QEMU goes on, whichever it is. */
	while (recv(h->sock, &order, 1, 0) == 1 && order == DO_START) {
		keep_names(h);
		run(h, program, args);
	}
	if (h->pid && order == DO_UNDO) {
		kill(h->pid, SIGKILL);
		waitpid(h->pid, NULL, 0);
		restore_taps(h);
	}
	if (order == DO_UNDO || order == DO_STAY)
		keep_names_end(h, order == DO_STAY);
	remove_dir(h);
	_exit(0);
}

/* Why a second process would have less, or more, than the first. */
static const char *differs(const struct qemu *q)
{
	static char text[256];
	char a[64], b[64], v[64], link_a[64], link_b[64], *ours, *theirs;
	const char *name, *value;
	size_t at = 1;
	ssize_t n, m;
	bool sandbox = false;

	snprintf(a, sizeof(a), "/proc/%d/ns/user", q->pid);
	snprintf(b, sizeof(b), "/proc/self/ns/user");
	n = readlink(a, link_a, sizeof(link_a) - 1);
	m = readlink(b, link_b, sizeof(link_b) - 1);
	if (n != m || (n > 0 && memcmp(link_a, link_b, n)))
		return "it is in another user namespace";
	ours = qemu_file(getpid(), "attr/current", NULL);
	theirs = qemu_file(q->pid, "attr/current", NULL);
	*text = '\0';
	if (ours && theirs && strcmp(ours, theirs))
		snprintf(text, sizeof(text),
			 "a second process does not get its security label (%.*s)",
			 (int)strcspn(theirs, "\n"), theirs);
	free(ours);
	free(theirs);
	if (*text)
		return text;
	while (qemu_option(q, &at, &name, &value))
		sandbox |= !strcmp(name, "sandbox");
	if (!sandbox && qemu_status(q->pid, "Seccomp", v, sizeof(v)) && atoi(v))
		return "a second process does not get its seccomp filter";
	if (qemu_status(q->pid, "Uid", v, sizeof(v)) && atoi(v) &&
	    qemu_status(q->pid, "CapEff", v, sizeof(v)) && strtoull(v, NULL, 16))
		return "a second process does not get its capabilities";
	return NULL;
}

/* The helper's next note. */
static const char *hear(struct twin *t, int what, struct note *n)
{
	static char why[TEXT_LEN(sizeof(n->text))];

	if (recv(t->sock, n, sizeof(*n), 0) != sizeof(*n))
		return "the helper process has ended, or hangs";
	n->text[sizeof(n->text) - 1] = '\0';
	if ((int)n->what == what)
		return NULL;
	return text_escape(why, sizeof(why), n->text, false);
}

/* Of the first QEMU, whose standard error the second one has. */
static void open_log(struct twin *t, const struct qemu *q)
{
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/fd/2", q->pid);
	if (stat(path, &st) || !S_ISREG(st.st_mode))
		return;
	t->log = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	t->log_from = st.st_size;
}

/**
 * twin_open - become like a QEMU, and make a directory
 * @t: filled in
 * @q: the QEMU
 * @uid: its ids, as its socket has them
 * @gid: as @uid
 * @dir: of the new directory, as it sees it
 * @program: that twin_start() runs, as it sees it; NULL: it is not called
 * @args: makes the command line, in the helper
 *
 * Return: NULL, or why that failed; nothing is to be closed then.
 */
const char *twin_open(struct twin *t, const struct qemu *q, unsigned int uid, unsigned int gid,
		      const char *dir, const char *program, twin_args_fn *args)
{
	const struct timeval patience = { .tv_sec = HELPER_S };
	struct helper h = { .q = q, .uid = uid, .gid = gid };
	const char *why = program ? differs(q) : NULL;
	struct note n;
	int pair[2];

	memset(t, 0, sizeof(*t));
	t->pidfd = -1;
	t->log = -1;
	if (why)
		return why;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
		return strerror(errno);
	t->helper = fork();
	if (!t->helper) {
		close(pair[0]);
		h.sock = pair[1];
		help(&h, dir, program, args);
	}
	close(pair[1]);
	t->sock = pair[0];
	setsockopt(t->sock, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (t->helper < 0)
		why = strerror(errno);
	else
		why = hear(t, NOTE_DIR, &n);
	open_log(t, q);
	if (!why)
		snprintf(t->dir, sizeof(t->dir), "%s", n.text);
	else
		twin_close(t, false);
	return why;
}

/**
 * twin_start - start the second QEMU
 * @t: the twin
 *
 * The names of the first one's sockets are the second one's from when it makes them.
 *
 * Return: NULL, or why that failed.
 */
const char *twin_start(struct twin *t)
{
	const char order = DO_START, *why;
	struct note n;

	if (send(t->sock, &order, 1, MSG_NOSIGNAL) != 1)
		return "the helper process has ended";
	why = hear(t, NOTE_STARTED, &n);
	if (why)
		return why;
	t->pid = n.value;
	/* Its parent waits for nobody yet. */
	t->pidfd = syscall(SYS_pidfd_open, t->pid, 0);
	return t->pidfd < 0 ? strerror(errno) : NULL;
}

/**
 * twin_ended - has the second QEMU ended?
 * @t: the twin
 */
bool twin_ended(const struct twin *t)
{
	struct pollfd p = { .fd = t->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/**
 * twin_said - the last line that the second QEMU wrote to its standard error
 * @t: the twin
 *
 * Return: it, to be put behind a sentence.
 */
const char *twin_said(const struct twin *t)
{
	static char text[TEXT_LEN(1024) + 2];
	char buf[4096], *last;
	struct stat st;
	off_t from;
	ssize_t n;

	if (t->log < 0)
		return " (its standard error may say why)";
	if (fstat(t->log, &st) || st.st_size <= t->log_from)
		return "";
	from = st.st_size - t->log_from < (off_t)sizeof(buf) ? t->log_from :
	       st.st_size - (off_t)sizeof(buf) + 1;
	n = pread(t->log, buf, sizeof(buf) - 1, from);
	while (n > 0 && buf[n - 1] == '\n')
		n--;
	if (n <= 0)
		return "";
	buf[n] = '\0';
	last = strrchr(buf, '\n');
	last = last ? last + 1 : buf;
	last[strnlen(last, 1000)] = '\0';
	memcpy(text, ": ", 3);
	text_escape(text + 2, sizeof(text) - 2, last, false);
	return text;
}

/**
 * twin_close - the end of twin_open()
 * @t: the twin
 * @stays: the second QEMU does; else it is killed, and the first has its sockets' names again
 */
void twin_close(struct twin *t, bool stays)
{
	const char order = stays ? DO_STAY : DO_UNDO;
	int n;

	/* Whatever the helper comes to. */
	if (!stays && t->pidfd >= 0)
		syscall(SYS_pidfd_send_signal, t->pidfd, SIGKILL, NULL, 0);
	send(t->sock, &order, 1, MSG_NOSIGNAL);
	if (t->helper > 0) {
		for (n = 0; n < HELPER_S * 1000 && !waitpid(t->helper, NULL, WNOHANG); n++)
			usleep(1000);
		if (n == HELPER_S * 1000) {
			kill(t->helper, SIGKILL);
			waitpid(t->helper, NULL, 0);
		}
	}
	close(t->sock);
	if (t->pidfd >= 0)
		close(t->pidfd);
	t->pidfd = -1;
	if (t->log >= 0)
		close(t->log);
	t->log = -1;
}
