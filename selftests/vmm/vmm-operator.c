// SPDX-License-Identifier: GPL-2.0-only
/* vmm-operator: what an operator is promised, whatever a VMM does. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <dirent.h>
#include <kselftest.h>
#include "mini.h"
#include "operator.h"
#include "vmm.h"

static const char usage[] =
"usage: vmm-operator INSTANCE OTHER\n"
"\n"
"A VM on INSTANCE and the operator's interfaces: sysfs while the VM stands still, an\n"
"instance that is drained, the log, cgroups. TAP output.\n";

#define SYSFS	"/sys/kernel/kvm_core/"
#define CGROUP	"/tmp/cgroup"

static const char *from, *to;

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* A line without its end, or an empty one. */
static const char *read_file(const char *path)
{
	static char line[256];
	FILE *f = fopen(path, "re");

	if (!f || !fgets(line, sizeof(line), f))
		*line = '\0';
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = '\0';
	return line;
}

static void stall(const char *stage, unsigned int ms)
{
	if (!inject_set(stage, "stall_ms", ms))
		ksft_exit_fail_msg("debugfs stalls no handoff at %s: %s\n", stage,
				   strerror(errno));
}

/* A running guest, who looks at it, and a move that it asks for itself. */
struct trial {
	struct vm_shape	shape;
	struct vm_fds	fds;
	struct watch	w;
	struct vm_report *report;
	struct vm	*vm;
	struct kvm_core_move mv;
	pthread_t	mover;
	bool		moving;
};

static struct trial *trial_run(const char *guest)
{
	struct trial *t = calloc(1, sizeof(*t));
	static char path[64];

	if (!t)
		ksft_exit_fail_msg("no memory\n");
	snprintf(path, sizeof(path), "/dev/%s", from);
	t->shape = (struct vm_shape){ .cpus = 2, .mem = 32 << 20 };
	t->shape.guest = guest_by_name(guest);
	t->report = mmap(NULL, sizeof(*t->report), PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->report == MAP_FAILED || vm_fds_make(&t->shape, &t->fds) ||
	    watch_open(&t->w, &t->shape, &t->fds, t->report))
		ksft_exit_fail_msg("no memory\n");
	t->w.patience = 60;
	t->vm = vm_create(path, &t->shape, &t->fds, t->report);
	if (!t->vm || vm_boot(t->vm) || vm_resume(t->vm) ||
	    watch_steps(&t->w, 2) != WATCH_OK)
		ksft_exit_fail_msg("the VM does not run\n");
	return t;
}

/* True when the guest went on, and was content to the end. */
static bool trial_end(struct trial *t)
{
	bool ok = watch_steps(&t->w, 2) == WATCH_OK && watch_finish(&t->w) == WATCH_OK;

	if (!ok)
		ksft_print_msg("%s\n", t->w.why);
	vm_destroy(t->vm);
	watch_close(&t->w);
	vm_fds_close(&t->fds);
	munmap(t->report, sizeof(*t->report));
	free(t);
	return ok;
}

/* Errno. */
static int move(struct trial *t, const char *where, __u32 flags)
{
	t->mv = (struct kvm_core_move){
		.flags = flags, .deadline_us = 20000000, .timeout_ms = 60000,
	};
	snprintf(t->mv.instance, sizeof(t->mv.instance), "%s", where);
	return ioctl(t->vm->fd, KVM_CORE_VM_MOVE, &t->mv) ? errno : 0;
}

static void *move_thread(void *arg)
{
	struct trial *t = arg;
	int r = move(t, to, 0);

	VMM_STORE(t->moving, false);
	return (void *)(long)r;
}

static void move_begin(struct trial *t)
{
	t->moving = true;
	if (pthread_create(&t->mover, NULL, move_thread, t))
		ksft_exit_fail_msg("no thread\n");
}

static int move_end(struct trial *t)
{
	void *r;

	pthread_join(t->mover, &r);
	if (r)
		ksft_print_msg("move: error %ld, %s\n", (long)r, t->mv.reason);
	return (long)r;
}

/* Number of the VM, as sysfs has it. */
static unsigned int vm_number(struct trial *t)
{
	return move(t, to, KVM_CORE_MOVE_DRY_RUN) ? 0 : t->mv.vm;
}

#define READINGS 100000
#define STALL_NS 1500000000ull

/*
 * The VM stands still, and its gate is held, at least for the time of the stall before
 * its end. Who reads in there has an answer in there.
 */
static void test_sysfs(void)
{
	struct trial *t = trial_run("spin");
	struct reading { __u64 begin, end; } *at = calloc(READINGS, sizeof(*at));
	unsigned int n = 0, i, inside = 0;
	char path[64];
	__u64 end;
	bool ok;

	snprintf(path, sizeof(path), SYSFS "vms/%u/instance", vm_number(t));
	ok = at && !strcmp(read_file(path), from);
	stall("move", 1500);
	move_begin(t);
	while (ok && VMM_LOAD(t->moving) && n < READINGS) {
		at[n].begin = now_ns();
		ok = *read_file(path);
		at[n++].end = now_ns();
		usleep(1000);
	}
	ok &= !move_end(t);
	stall("move", 0);
	end = t->mv.stopped_at_ns + t->mv.downtime_ns;
	for (i = 0; i < n; i++)
		inside += at[i].begin > end - STALL_NS && at[i].end < end;
	ksft_print_msg("%u readings, %u of them while it stood still\n", n, inside);
	ok &= inside && !strcmp(read_file(path), to);
	free(at);
	ok &= trial_end(t);
	ksft_test_result(ok, "sysfs tells a VM's instance while it stands still\n");
}

static int drain(const char *name, __u32 flags)
{
	struct kvm_core_drain d = { .flags = flags };
	int fd = open("/dev/kvm-core", O_RDWR | O_CLOEXEC), r;

	snprintf(d.name, sizeof(d.name), "%s", name);
	r = ioctl(fd, KVM_CORE_DRAIN, &d) ? errno : 0;
	close(fd);
	return r;
}

static bool opens(const char *name)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/dev/%s", name);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* Errno of KVM_CREATE_VM on an open descriptor of /dev/kvm*. */
static int creates(int kvm)
{
	int fd = ioctl(kvm, KVM_CREATE_VM, 0);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static bool state_is(const char *name, const char *state, const char *vms)
{
	char path[96];
	bool ok;

	snprintf(path, sizeof(path), SYSFS "instances/%s/state", name);
	ok = !strcmp(read_file(path), state);
	snprintf(path, sizeof(path), SYSFS "instances/%s/vms", name);
	ok &= !strcmp(read_file(path), vms);
	if (!ok)
		ksft_print_msg("%s is not %s with %s VMs\n", name, state, vms);
	return ok;
}

static void test_drained(void)
{
	struct trial *t = trial_run("spin");
	int kvm, r;
	char path[64];
	bool ok;

	snprintf(path, sizeof(path), "/dev/%s", from);
	kvm = open(path, O_RDWR | O_CLOEXEC);
	ok = kvm >= 0 && !creates(kvm);
	ok &= !drain(from, 0) && !drain(from, 0) && state_is(from, "draining", "1");
	ok &= !opens(from) && errno == ENODEV;
	ok &= creates(kvm) == ENODEV && state_is(from, "draining", "1");
	ok &= strcmp(read_file(SYSFS "default"), from);
	/* The VM that it has runs, leaves, and does not come back. */
	ok &= watch_steps(&t->w, 2) == WATCH_OK;
	ok &= !move(t, to, 0) && state_is(from, "draining", "0");
	r = move(t, from, 0);
	ok &= r == ENODEV && strstr(t->mv.reason, "draining");
	ok &= move(t, from, KVM_CORE_MOVE_DRY_RUN) == ENODEV;
	/* KVM goes along with its VM: so it is not the drained one's any more. */
	ok &= !creates(kvm);
	close(kvm);
	ok &= !drain(from, KVM_CORE_DRAIN_UNDO) && state_is(from, "live", "0");
	ok &= opens(from) && !move(t, from, 0) && state_is(from, "live", "1");
	ok &= drain("kvm-none-1", 0) == ENODEV && drain(from, 1 << 31) == EINVAL;
	ok &= trial_end(t);
	ksft_test_result(ok, "a drained instance takes no VM, also not by a move of a VMM's\n");
}

/* Where the target is drained while the VM is on its way. */
static void test_drained_meanwhile(void)
{
	struct trial *t = trial_run("spin");
	char path[96];
	bool ok;
	int r;

	snprintf(path, sizeof(path), SYSFS "instances/%s/state", to);
	stall("record", 1000);
	move_begin(t);
	usleep(200000);
	ok = write_file(path, "draining\n");
	r = move_end(t);
	stall("record", 0);
	ok &= state_is(from, "live", "1") && state_is(to, "draining", "0");
	ok &= r == ENODEV && strstr(t->mv.reason, "takes no VMs");
	ok &= !write_file(path, "failed\n") && errno == EINVAL;
	ok &= write_file(path, "live\n") && !move(t, to, 0);
	ok &= trial_end(t);
	ksft_test_result(ok, "a VM that is on its way to an instance that is drained stays\n");
}

/* Lines about VMs that the kernel's log has got since @fd was at its end. */
static unsigned int log_lines(int fd)
{
	unsigned int n = 0;
	char line[1024];
	ssize_t got;

	for (;;) {
		got = read(fd, line, sizeof(line) - 1);
		if (got < 0 && errno == EPIPE)
			continue;
		if (got <= 0)
			return n;
		line[got] = '\0';
		n += !!strstr(line, "kvm-core: VM ");
	}
}

static void test_log(void)
{
	struct trial *t = trial_run("spin");
	struct kvm_core_move mv = { .timeout_ms = 60000 };
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	int control = open("/dev/kvm-core", O_RDWR | O_CLOEXEC);
	unsigned int i, lines;
	bool ok;

	mv.vm = vm_number(t);
	ok = log >= 0 && control >= 0 && lseek(log, 0, SEEK_END) >= 0;
	if (!inject_set("record", "error", EIO))
		ok = false;
	for (i = 0; ok && i < 30; i++)
		ok = move(t, to, 0) == EIO;
	lines = log_lines(log);
	ksft_print_msg("%u lines of %u moves that failed\n", lines, i);
	ok &= !lines;
	/* The operator's are told. */
	snprintf(mv.instance, sizeof(mv.instance), "%s", to);
	ok &= ioctl(control, KVM_CORE_MOVE, &mv) && errno == EIO && log_lines(log) == 1;
	ok &= inject_set("record", "error", 0);
	close(log);
	close(control);
	ok &= trial_end(t);
	ksft_test_result(ok, "a VMM whose moves fail does not fill the log\n");
}

/* The handoff's thread, or 0. */
static int mover(unsigned int vm)
{
	DIR *proc = opendir("/proc");
	struct dirent *de;
	char path[300], name[32];
	int pid = 0;

	snprintf(name, sizeof(name), "kvm-move/%u", vm);
	while (proc && !pid && (de = readdir(proc))) {
		if (*de->d_name < '0' || *de->d_name > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", de->d_name);
		if (!strcmp(read_file(path), name))
			pid = atoi(de->d_name);
	}
	if (proc)
		closedir(proc);
	return pid;
}

/* While the move goes on; its cgroup in the unified hierarchy. */
static bool mover_is_in(struct trial *t, unsigned int vm, const char *cgroup)
{
	char line[300];
	bool is = false;
	FILE *f;

	while (!is && VMM_LOAD(t->moving)) {
		snprintf(line, sizeof(line), "/proc/%d/cgroup", mover(vm));
		f = fopen(line, "re");
		while (f && fgets(line, sizeof(line), f)) {
			line[strcspn(line, "\n")] = '\0';
			is |= !strcmp(line, cgroup);
		}
		if (f)
			fclose(f);
	}
	return is;
}

static void test_cgroup(void)
{
	struct trial *t = trial_run("spin");
	const unsigned int vm = vm_number(t);
	char pid[16];
	bool ok;
	int i;

	snprintf(pid, sizeof(pid), "%d", getpid());
	mkdir(CGROUP, 0755);
	if (mount("cgroup", CGROUP, "cgroup2", 0, NULL) && errno != EBUSY)
		ksft_exit_fail_msg("cgroup2: %s\n", strerror(errno));
	mkdir(CGROUP "/operator", 0755);
	ok = write_file(CGROUP "/operator/cgroup.procs", pid);
	stall("prepare", 1500);
	move_begin(t);
	if (!mover_is_in(t, vm, "0::/operator")) {
		ksft_print_msg("the move's thread is not in the VMM's cgroup\n");
		ok = false;
	}
	ok &= !move_end(t);
	stall("prepare", 0);
	ok &= write_file(CGROUP "/cgroup.procs", pid);
	/* KVM's own thread of the VM was there, too. */
	ok &= trial_end(t);
	for (i = 0; rmdir(CGROUP "/operator") && errno == EBUSY && i < 1000; i++)
		usleep(10000);
	if (!access(CGROUP "/operator", F_OK)) {
		ksft_print_msg("%s is left in the cgroup\n",
			       read_file(CGROUP "/operator/cgroup.procs"));
		ok = false;
	}
	ksft_test_result(ok, "a move takes its CPU time from the VMM's cgroup\n");
}

/* A move of a VM, by its VMM or by the operator, in a thread. */
struct asked {
	int		fd;
	unsigned long	cmd;
	struct kvm_core_move mv;
	int		error;
	bool		ended;
};

static void *ask(void *arg)
{
	struct asked *a = arg;

	a->error = ioctl(a->fd, a->cmd, &a->mv) ? errno : 0;
	VMM_STORE(a->ended, true);
	return NULL;
}

/*
 * The VMM has an exit that is not completed, so its own move waits, for a minute. The
 * operator's comes then, and the exit is completed when the one or the other has ended.
 */
static void test_precedence(void)
{
	static const __u8 code[] = { 0xe6, 0x10, 0xeb, 0xfc };	/* out 0x10, al; jmp */
	int control = open("/dev/kvm-core", O_RDWR | O_CLOEXEC);
	struct asked own = { .cmd = KVM_CORE_VM_MOVE }, operator = { .cmd = KVM_CORE_MOVE };
	struct kvm_core_move probe = { .flags = KVM_CORE_MOVE_DRY_RUN };
	pthread_t threads[2];
	struct mini m;

	mini_begin(&m);
	mini_boot(&m, code, sizeof(code));
	mini_run(&m, 0, KVM_EXIT_IO, "first run");
	own.fd = m.fd;
	own.mv = (struct kvm_core_move){ .deadline_us = 20000000, .timeout_ms = 60000 };
	snprintf(own.mv.instance, sizeof(own.mv.instance), "%s", to);
	operator.fd = control;
	operator.mv = own.mv;
	operator.mv.fd = m.fd;
	snprintf(probe.instance, sizeof(probe.instance), "%s", to);
	mini_ioctl(&m, m.fd, KVM_CORE_VM_MOVE, &probe, "a move, dry");
	pthread_create(&threads[0], NULL, ask, &own);
	while (!VMM_LOAD(own.ended) && !mover(probe.vm))
		usleep(1000);
	pthread_create(&threads[1], NULL, ask, &operator);
	while (!VMM_LOAD(own.ended) && !VMM_LOAD(operator.ended))
		usleep(1000);
	mini_complete(&m, 0);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	mini_run(&m, 0, KVM_EXIT_IO, "run after the move");
	if (!m.ok)
		ksft_print_msg("%s\n", m.why);
	if (operator.error || own.error != EBUSY)
		ksft_print_msg("the operator's: %s (%s), the VMM's: %s (%s)\n",
			       operator.mv.reason, strerror(operator.error),
			       own.mv.reason, strerror(own.error));
	ksft_test_result(m.ok && !operator.error && own.error == EBUSY,
			 "a move that the VMM asked for gives way to the operator's\n");
	mini_end(&m);
	close(control);
}

/* Another process adopts the VM, and answers with the errno and the reason. */
struct adopter {
	int	error;
	char	reason[KVM_CORE_REASON_LEN];
};

static void __noreturn adopter_main(const struct mini *m, int out)
{
	struct kvm_core_adopt_slot slot = {
		.size = MINI_MEM, .userspace_addr = (unsigned long)m->mem,
	};
	struct kvm_core_adopt a = {
		.argsz = sizeof(a), .nr_vcpus = 1, .nr_slots = 1,
		.vcpus = (unsigned long)&m->vcpu[0], .slots = (unsigned long)&slot,
		.move = { .deadline_us = 20000000, .timeout_ms = 60000 },
	};
	struct adopter answer = { 0 };

	snprintf(a.move.instance, sizeof(a.move.instance), "%s", to);
	answer.error = ioctl(m->fd, KVM_CORE_VM_ADOPT, &a) ? errno : 0;
	memcpy(answer.reason, a.move.reason, sizeof(answer.reason));
	_exit(write(out, &answer, sizeof(answer)) != sizeof(answer));
}

/* The end of the pipe at which it answers */
static int adopter_begin(const struct mini *m)
{
	int p[2];

	if (pipe(p))
		ksft_exit_fail_msg("no pipe\n");
	fflush(NULL);
	if (!fork())
		adopter_main(m, p[1]);
	close(p[1]);
	return p[0];
}

static bool adopter_ends(int in, int error, const char *reason)
{
	struct adopter a = { 0 };
	bool ok;

	if (read(in, &a, sizeof(a)) != sizeof(a))
		snprintf(a.reason, sizeof(a.reason), "it does not answer");
	close(in);
	wait(NULL);
	ok = a.error == error && strstr(a.reason, reason);
	if (!ok)
		ksft_print_msg("the adoption: %s (%s)\n", a.reason, strerror(a.error));
	return ok;
}

/*
 * As before, with another VMM that adopts in the place of the VM's own: it waits for the exit,
 * the operator comes. And the other way round, with the operator's held.
 */
static void test_adoption(void)
{
	static const __u8 code[] = { 0xe6, 0x10, 0xeb, 0xfc };	/* out 0x10, al; jmp */
	int control = open("/dev/kvm-core", O_RDWR | O_CLOEXEC), in;
	struct asked operator = { .cmd = KVM_CORE_MOVE, .fd = control };
	struct kvm_core_move probe = { .flags = KVM_CORE_MOVE_DRY_RUN };
	pthread_t thread;
	struct mini m;
	bool ok;

	mini_begin(&m);
	mini_boot(&m, code, sizeof(code));
	mini_run(&m, 0, KVM_EXIT_IO, "first run");
	operator.mv = (struct kvm_core_move){
		.fd = m.fd, .deadline_us = 20000000, .timeout_ms = 60000,
	};
	snprintf(operator.mv.instance, sizeof(operator.mv.instance), "%s", to);
	snprintf(probe.instance, sizeof(probe.instance), "%s", to);
	mini_ioctl(&m, m.fd, KVM_CORE_VM_MOVE, &probe, "a move, dry");
	in = adopter_begin(&m);
	while (m.ok && !mover(probe.vm))
		usleep(1000);
	pthread_create(&thread, NULL, ask, &operator);
	ok = adopter_ends(in, EBUSY, "the operator moves it");
	mini_complete(&m, 0);
	pthread_join(thread, NULL);
	ok &= !operator.error;

	mini_run(&m, 0, KVM_EXIT_IO, "run after the move");
	mini_complete(&m, 0);
	snprintf(operator.mv.instance, sizeof(operator.mv.instance), "%s", from);
	ok &= inject_set("prepare", "hold", 1);
	pthread_create(&thread, NULL, ask, &operator);
	ok &= inject_wait_held("prepare", 60);
	ok &= adopter_ends(adopter_begin(&m), EBUSY, "it is being moved already");
	inject_set("prepare", "hold", 0);
	pthread_join(thread, NULL);
	ok &= !operator.error;
	mini_run(&m, 0, KVM_EXIT_IO, "run after the second move");
	if (!m.ok || operator.error)
		ksft_print_msg("%s; the operator's: %s (%s)\n", m.why, operator.mv.reason,
			       strerror(operator.error));
	ksft_test_result(m.ok && ok, "an adoption gives way to the operator's move\n");
	mini_end(&m);
	close(control);
}

int main(int argc, char **argv)
{
	args_two(argc, argv, usage, mini_names);
	from = mini_names[0];
	to = mini_names[1];
	ksft_print_header();
	ksft_set_plan(8);
	test_sysfs();
	test_log();
	test_precedence();
	test_adoption();
	test_cgroup();
	test_drained();
	test_drained_meanwhile();
	ksft_test_result(test_history(from, to),
			 "what a VMM asks for in a row hides nothing of the operator's\n");
	ksft_finished();
}
