// SPDX-License-Identifier: GPL-2.0-only
/*
 * guest-load: load in a Linux guest that notices what goes wrong under it, and the
 * other side of it outside of the guest.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/types.h>
#include <linux/vm_sockets.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const char usage[] =
"usage: guest-load DISK ADDRESS PORT   in the guest, until the echo says stop\n"
"       guest-load -e PORT STOPFILE    the echo; says stop when the file is there\n"
"       guest-load -E PORT STOPFILE    the same, where the guest's ADDRESS is vsock\n"
"       guest-load -v DISK WRITES      verify what a guest has written\n"
"       guest-load -t TAP FD PROGRAM [ARGUMENT...]   run PROGRAM with a tap device as FD\n";

#define MEM_WORDS	0x100000
#define MEM_PART	4096		/* words that count as one step */
#define BLOCK		(16 << 10)
#define BLOCKS		256
#define TICK_NS		10000000
#define MSG_WORDS	128

static atomic_bool stop;
static atomic_ulong mem_steps[2], writes, ticks, echoes;
static atomic_long clock_last, latest_ns;
static const char *disk;
static union {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_vm vm;
} echo_addr;
static socklen_t echo_len;

/* Where the echo is: an IPv4 address, or vsock for the host. */
static void echo_set(const char *address, const char *port)
{
	if (!strcmp(address, "vsock")) {
		echo_addr.vm.svm_family = AF_VSOCK;
		echo_addr.vm.svm_cid = VMADDR_CID_HOST;
		echo_addr.vm.svm_port = strtoul(port, NULL, 10);
		echo_len = sizeof(echo_addr.vm);
		return;
	}
	echo_addr.in.sin_family = AF_INET;
	echo_addr.in.sin_port = htons(strtoul(port, NULL, 10));
	echo_len = sizeof(echo_addr.in);
	if (inet_pton(AF_INET, address, &echo_addr.in.sin_addr) != 1)
		errx(1, "error: no address: %s", address);
}

/* What word i of the generation g has to be. */
static __u64 mix(__u64 g, __u64 i)
{
	__u64 x = (g << 32 ^ i) * 0x9e3779b97f4a7c15;

	return x ^ x >> 29;
}

static void fill(__u64 *p, size_t n, __u64 g)
{
	size_t i;

	p[0] = g;
	for (i = 1; i < n; i++)
		p[i] = mix(g, i);
}

static void check(const __u64 *p, size_t n, __u64 g, const char *what)
{
	size_t i;

	if (p[0] != g)
		errx(1, "error: %s %llu is number %llu", what, g, p[0]);
	for (i = 1; i < n; i++)
		if (p[i] != mix(g, i))
			errx(1, "error: %s %llu, word %zu is %#llx, not %#llx", what, g, i, p[i],
			     mix(g, i));
}

static __s64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* What each CPU has for a time, and its TSC. */
static void report_clocks(void)
{
	int c, n = sysconf(_SC_NPROCESSORS_ONLN);

	for (c = 0; c < n; c++) {
		struct timespec raw;
		cpu_set_t cpus;
		__s64 t;

		CPU_ZERO(&cpus);
		CPU_SET(c, &cpus);
		if (sched_setaffinity(0, sizeof(cpus), &cpus))
			continue;
		t = now();
		clock_gettime(CLOCK_MONOTONIC_RAW, &raw);
		printf("clock of CPU %d: %lld, raw %lld, TSC %lld\n", c, t,
		       raw.tv_sec * 1000000000LL + raw.tv_nsec, __builtin_ia32_rdtsc());
	}
	fflush(stdout);
}

/* What one CPU has read, no other may read less of afterwards. */
static void check_clock(void)
{
	long before = atomic_load(&clock_last), t = now();
	int cpu = sched_getcpu();

	if (t < before) {
		report_clocks();
		errx(1, "error: the clock went back from %ld to %ld ns on CPU %d", before, t,
		     cpu);
	}
	while (before < t && !atomic_compare_exchange_weak(&clock_last, &before, t))
		;
}

static void *memory(void *arg)
{
	__u64 *p = mmap(NULL, MEM_WORDS * 8, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned long i, g;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((uintptr_t)arg, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "error: sched_setaffinity");
	if (p == MAP_FAILED)
		err(1, "error: mmap");
	for (g = 1; !stop; g++) {
		for (i = 0; i < MEM_WORDS; i++) {
			if (g > 1 && p[i] != mix(g - 1, i))
				errx(1, "error: pass %lu, word %lu is %#llx", g, i, p[i]);
			p[i] = mix(g, i);
			if (i % MEM_PART)
				continue;
			check_clock();
			mem_steps[(uintptr_t)arg]++;
		}
	}
	return NULL;
}

static void *disk_writer(void *arg)
{
	__u64 *p = aligned_alloc(4096, BLOCK), back;
	int fd = open(disk, O_RDWR | O_DIRECT);
	__u64 seq;

	(void)arg;
	if (fd < 0 || !p)
		err(1, "error: %s", disk);
	for (seq = 1; !stop; seq++) {
		fill(p, BLOCK / 8, seq);
		if (pwrite(fd, p, BLOCK, seq % BLOCKS * BLOCK) != BLOCK)
			err(1, "error: write %llu", seq);
		back = seq - mix(1, seq) % (seq < BLOCKS ? seq : BLOCKS);
		if (pread(fd, p, BLOCK, back % BLOCKS * BLOCK) != BLOCK)
			err(1, "error: read %llu", back);
		check(p, BLOCK / 8, back, "disk block");
		writes++;
	}
	if (fsync(fd))
		err(1, "error: fsync");
	return NULL;
}

static void *ticker(void *arg)
{
	struct itimerspec its = { { 0, TICK_NS }, { 0, TICK_NS } };
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);
	__s64 begin = now(), late;
	__u64 n;

	(void)arg;
	if (timerfd_settime(fd, 0, &its, NULL))
		err(1, "error: timerfd");
	while (!stop) {
		if (read(fd, &n, sizeof(n)) != sizeof(n))
			err(1, "error: timerfd");
		ticks += n;
		late = now() - begin - (__s64)ticks * TICK_NS;
		/* The two readings of the clock lie some time apart. */
		if (late < -TICK_NS)
			errx(1, "error: tick %lu came %lld ns early", ticks, -late);
		if (late > latest_ns)
			latest_ns = late;
	}
	return NULL;
}

static void whole(int fd, void *buf, size_t len, bool out)
{
	ssize_t r;

	for (; len; len -= r, buf = (char *)buf + r) {
		r = out ? send(fd, buf, len, MSG_NOSIGNAL) : recv(fd, buf, len, 0);
		if (r <= 0)
			errx(1, "error: network: %s", r ? strerror(errno) : "it was closed");
	}
}

static void *network(void *arg)
{
	__u64 msg[MSG_WORDS + 1], seq;
	int fd = socket(echo_addr.any.sa_family, SOCK_STREAM, 0);

	(void)arg;
	if (connect(fd, &echo_addr.any, echo_len))
		err(1, "error: connect");
	for (seq = 1; !stop; seq++) {
		fill(msg, MSG_WORDS, seq);
		msg[MSG_WORDS] = 0;
		whole(fd, msg, sizeof(msg), true);
		memset(msg, 0, sizeof(msg));
		whole(fd, msg, sizeof(msg), false);
		check(msg, MSG_WORDS, seq, "message");
		echoes++;
		if (msg[MSG_WORDS])
			stop = true;
	}
	close(fd);
	return NULL;
}

static void report(const char *what)
{
	printf("%s uptime %.2f memory %lu memory1 %lu disk %lu ticks %lu network %lu ", what,
	       now() / 1e9, mem_steps[0], mem_steps[1], writes, ticks, echoes);
	printf("latest %ld us\n", latest_ns / 1000);
	fflush(stdout);
}

static int guest(void)
{
	void *(*const parts[])(void *) = { memory, memory, disk_writer, ticker, network };
	pthread_t threads[5];
	uintptr_t i;

	for (i = 0; i < 5; i++)
		if (pthread_create(&threads[i], NULL, parts[i], (void *)i))
			errx(1, "error: no thread");
	while (!stop) {
		report("load");
		sleep(1);
	}
	for (i = 0; i < 5; i++)
		pthread_join(threads[i], NULL);
	report("end");
	return 0;
}

static int serve(const char *stopfile)
{
	int s = socket(echo_addr.any.sa_family, SOCK_STREAM, 0), one = 1, fd;
	__u64 msg[MSG_WORDS + 1], seq;

	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s, &echo_addr.any, echo_len) || listen(s, 1))
		err(1, "bind");
	fd = accept(s, NULL, NULL);
	if (fd < 0)
		err(1, "accept");
	for (seq = 1;; seq++) {
		ssize_t r = recv(fd, msg, sizeof(msg), MSG_WAITALL);

		if (!r)
			break;
		if (r != sizeof(msg))
			err(1, "error: message %llu has %zd bytes", seq, r);
		check(msg, MSG_WORDS, seq, "message");
		msg[MSG_WORDS] = !access(stopfile, F_OK);
		whole(fd, msg, sizeof(msg), true);
	}
	printf("echo %llu\n", seq - 1);
	return 0;
}

static int verify(const char *path, __u64 n)
{
	__u64 *p = malloc(BLOCK), seq;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || !p)
		err(1, "%s", path);
	if (!n)
		errx(1, "nothing was written");
	for (seq = n < BLOCKS ? 1 : n - BLOCKS + 1; seq <= n; seq++) {
		if (pread(fd, p, BLOCK, seq % BLOCKS * BLOCK) != BLOCK)
			err(1, "%s", path);
		check(p, BLOCK / 8, seq, "disk block");
	}
	return 0;
}

static int with_tap(const char *name, int as, char **argv)
{
	struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR);

	snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r) || dup2(fd, as) < 0)
		err(1, "error: %s", name);
	if (fd != as)
		close(fd);
	execvp(argv[0], argv);
	err(1, "error: %s", argv[0]);
}

int main(int argc, char **argv)
{
	if (argc >= 5 && !strcmp(argv[1], "-t"))
		return with_tap(argv[2], atoi(argv[3]), argv + 4);
	if (argc == 4 && !strcmp(argv[1], "-v"))
		return verify(argv[2], strtoull(argv[3], NULL, 10));
	if (argc == 4 && (!strcmp(argv[1], "-e") || !strcmp(argv[1], "-E"))) {
		echo_set(argv[1][1] == 'E' ? "vsock" : "0.0.0.0", argv[2]);
		return serve(argv[3]);
	}
	if (argc == 4 && argv[1][0] != '-') {
		disk = argv[1];
		echo_set(argv[2], argv[3]);
		return guest();
	}
	fputs(usage, stderr);
	return 2;
}
