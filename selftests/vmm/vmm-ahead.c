// SPDX-License-Identifier: GPL-2.0-only
/* vmm-ahead: guest memory that a handoff maps ahead, as it is and as it changes meanwhile. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm_core.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <kselftest.h>
#include "mini.h"
#include "vmm.h"

static const char usage[] =
"usage: vmm-ahead INSTANCE OTHER\n"
"\n"
"A VM on INSTANCE whose memory is in small pages, in huge ones, in parts, read-only or shared\n"
"with nothing, is moved to OTHER: what was mapped ahead is counted, and the guest looks at it\n"
"and writes. With gup-wait.ko, also memory that changes between its look-up and its use. TAP\n"
"output.\n";

#define PAGE		4096ul
#define HUGE		0x200000ul
#define AREA		0x20000
#define PAGES		96
#define PORT		0x10
/* Out of the guest's reach, so for counting only. */
#define FAR		0x40000000ul
#define LOW		0x10000ul

static const char armed_path[] = "/sys/module/gup_wait/parameters/armed";

/*
 * mov cx, AREA / 16
 * next: mov es, cx; mov al, es:[0]; out PORT, al; add cx, PAGE / 16
 * cmp cx, (AREA + PAGES * PAGE) / 16; jb next; jmp to the first
 */
static const __u8 reads[] = {
	0xb9, 0x00, 0x20, 0x8e, 0xc1, 0x26, 0xa0, 0x00, 0x00, 0xe6, PORT, 0x81, 0xc1,
	0x00, 0x01, 0x81, 0xf9, 0x00, 0x80, 0x72, 0xee, 0xeb, 0xe9,
};

/* The same with mov byte es:[1], 0x77 in front of the out. */
static const __u8 writes[] = {
	0xb9, 0x00, 0x20, 0x8e, 0xc1, 0x26, 0xc6, 0x06, 0x01, 0x00, 0x77, 0x26, 0xa0, 0x00,
	0x00, 0xe6, PORT, 0x81, 0xc1, 0x00, 0x01, 0x81, 0xf9, 0x00, 0x80, 0x72, 0xe8, 0xeb,
	0xe3,
};

struct ahead {
	struct mini	m;
	char		*area;
	__u64		mapped;		/* by the last move */
};

static char *map(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		ksft_exit_fail_msg("memory: %s\n", strerror(errno));
	madvise(p, size, MADV_NOHUGEPAGE);
	return p;
}

/* With the area at AREA, and whatever else the caller adds. */
static void begin(struct ahead *a, const void *code, size_t len, __u32 flags)
{
	memset(a, 0, sizeof(*a));
	mini_begin(&a->m);
	a->area = map(PAGES * PAGE);
	memcpy(a->m.mem + MINI_CODE, code, len);
	mini_slot(&a->m, 0, 0, 0, LOW, a->m.mem);
	mini_slot(&a->m, 1, flags, AREA, PAGES * PAGE, a->area);
	mini_vcpu(&a->m, 0);
}

static void end(struct ahead *a)
{
	mini_end(&a->m);
	munmap(a->area, PAGES * PAGE);
}

static void move_it(struct ahead *a)
{
	struct kvm_core_move mv = { .deadline_us = 5000000, .timeout_ms = 60000 };

	snprintf(mv.instance, sizeof(mv.instance), "%s", mini_names[1]);
	if (a->m.ok && ioctl(a->m.fd, KVM_CORE_VM_MOVE, &mv)) {
		snprintf(a->m.why, sizeof(a->m.why), "move: %.128s (%s)", mv.reason,
			 strerror(errno));
		a->m.ok = false;
	}
	a->mapped = mv.populated;
}

/* Pages that are in memory. */
static unsigned int present(void *at, size_t size)
{
	static unsigned char vec[FAR / PAGE];
	unsigned int n = 0;
	size_t i;

	if (mincore(at, size, vec))
		ksft_exit_fail_msg("mincore: %s\n", strerror(errno));
	for (i = 0; i < size / PAGE; i++)
		n += vec[i] & 1;
	return n;
}

static void want_mapped(struct ahead *a, unsigned int pages)
{
	if (a->m.ok && a->mapped != pages) {
		snprintf(a->m.why, sizeof(a->m.why), "%llu pages were mapped ahead, not %u",
			 (unsigned long long)a->mapped, pages);
		a->m.ok = false;
	}
}

static void want_stat(struct ahead *a, const char *name, __u64 want)
{
	__u64 value = 0;

	if (!a->m.ok)
		return;
	if (stat_read(a->m.fd, name, &value)) {
		mini_fail(&a->m, name);
	} else if (value != want) {
		snprintf(a->m.why, sizeof(a->m.why), "%s: %llu, not %llu", name,
			 (unsigned long long)value, (unsigned long long)want);
		a->m.ok = false;
	}
}

/* The guest goes through the area once, and finds what the VMM has there. */
static void want_read(struct ahead *a)
{
	struct kvm_run *r = a->m.run[0];
	unsigned int i;
	__u8 got;

	for (i = 0; a->m.ok && i < PAGES; i++) {
		mini_run(&a->m, 0, KVM_EXIT_IO, "KVM_RUN");
		got = *((__u8 *)r + r->io.data_offset);
		if (a->m.ok && got != (__u8)a->area[i * PAGE]) {
			snprintf(a->m.why, sizeof(a->m.why),
				 "page %u: the guest reads %#x, the VMM %#x", i, got,
				 (__u8)a->area[i * PAGE]);
			a->m.ok = false;
		}
	}
	if (a->m.ok)
		mini_complete(&a->m, 0);
}

static void verdict(struct ahead *a, const char *what)
{
	if (!a->m.ok)
		ksft_print_msg("%s\n", a->m.why);
	ksft_test_result(a->m.ok, "%s\n", what);
	end(a);
}

static void fill(char *area, unsigned int first, unsigned int step)
{
	unsigned int i;

	for (i = first; i < PAGES; i += step)
		area[i * PAGE] = i + 1;
}

static void test_small(void)
{
	struct ahead a;

	begin(&a, reads, sizeof(reads), 0);
	fill(a.area, 0, 1);
	move_it(&a);
	want_mapped(&a, PAGES + present(a.m.mem, LOW));
	want_stat(&a, "pages_4k", a.mapped);
	want_read(&a);
	/* Of the area, it had to ask for none. */
	want_stat(&a, "pages_4k", a.mapped);
	verdict(&a, "all pages are mapped, and are those of the VMM");
}

static void test_parts(void)
{
	struct ahead a;

	begin(&a, reads, sizeof(reads), 0);
	fill(a.area, 1, 3);
	fill(a.area, 70, 1);
	move_it(&a);
	want_mapped(&a, present(a.area, PAGES * PAGE) + present(a.m.mem, LOW));
	want_read(&a);
	verdict(&a, "what is not in memory stays so until the guest wants it");
}

/* The guest writes to all pages, and the VMM sees it. */
static void want_written(struct ahead *a)
{
	unsigned int i;

	want_read(a);
	for (i = 0; a->m.ok && i < PAGES; i++) {
		if (a->area[i * PAGE + 1] != 0x77) {
			snprintf(a->m.why, sizeof(a->m.why),
				 "page %u: the VMM does not see the write", i);
			a->m.ok = false;
		}
	}
}

/* The host's page of zeros, which a private mapping has as long as it is only read. */
static void test_zeros(void)
{
	struct ahead a;

	begin(&a, writes, sizeof(writes), 0);
	if (madvise(a.area, PAGES * PAGE, MADV_POPULATE_READ))
		mini_fail(&a.m, "MADV_POPULATE_READ");
	move_it(&a);
	want_mapped(&a, present(a.m.mem, LOW));
	want_written(&a);
	verdict(&a, "the page of zeros is left to the guest's first write");
}

/* A child's memory is the same pages, until one of both writes. */
static void test_forked(void)
{
	int hold[2], status = -1;
	unsigned int i;
	struct ahead a;
	pid_t child;
	char c;

	begin(&a, writes, sizeof(writes), 0);
	fill(a.area, 0, 1);
	if (pipe(hold))
		ksft_exit_fail_msg("pipe: %s\n", strerror(errno));
	child = fork();
	if (!child) {
		close(hold[1]);
		if (read(hold[0], &c, 1))
			_exit(2);
		for (i = 0; i < PAGES; i++)
			if (a.area[i * PAGE + 1])
				_exit(1);
		_exit(0);
	}
	close(hold[0]);
	move_it(&a);
	want_mapped(&a, PAGES + present(a.m.mem, LOW));
	want_written(&a);
	close(hold[1]);
	if (child < 0 || waitpid(child, &status, 0) != child)
		mini_fail(&a.m, "child");
	if (a.m.ok && status) {
		snprintf(a.m.why, sizeof(a.m.why),
			 "the guest has written to another process's memory");
		a.m.ok = false;
	}
	verdict(&a, "a page that another process has, too, is the guest's own once it writes");
}

static void test_readonly(void)
{
	struct ahead a;

	begin(&a, writes, sizeof(writes), KVM_MEM_READONLY);
	fill(a.area, 0, 1);
	move_it(&a);
	want_mapped(&a, PAGES + present(a.m.mem, LOW));
	mini_run(&a.m, 0, KVM_EXIT_MMIO, "a write to a read-only memslot");
	if (a.m.ok && (!a.m.run[0]->mmio.is_write || a.m.run[0]->mmio.phys_addr != AREA + 1)) {
		snprintf(a.m.why, sizeof(a.m.why), "MMIO at %#llx",
			 (unsigned long long)a.m.run[0]->mmio.phys_addr);
		a.m.ok = false;
	}
	if (a.m.ok && a.area[1]) {
		snprintf(a.m.why, sizeof(a.m.why), "it was written to");
		a.m.ok = false;
	}
	verdict(&a, "a read-only memslot stays so");
}

/* A memslot of FAR bytes at FAR, in the middle of which are two huge pages, at @shift. */
static void test_far(unsigned long shift, bool huge, const char *what)
{
	char *mem = mmap(NULL, FAR + HUGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *at = (char *)(((unsigned long)mem + HUGE) & -HUGE);
	struct ahead a;

	if (mem == MAP_FAILED)
		ksft_exit_fail_msg("memory: %s\n", strerror(errno));
	begin(&a, reads, sizeof(reads), 0);
	fill(a.area, 0, 1);
	mini_slot(&a.m, 2, 0, FAR, FAR - HUGE, at + shift);
	madvise(at + FAR / 2, 2 * HUGE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	memset(at + FAR / 2, 1, 2 * HUGE);
	move_it(&a);
	want_mapped(&a, PAGES + present(a.m.mem, LOW) + 2 * HUGE / PAGE);
	want_stat(&a, "pages_2m", huge && !(shift & (HUGE - 1)) ? 2 : 0);
	want_read(&a);
	verdict(&a, what);
	munmap(mem, FAR + HUGE);
}

/* What gup-wait.ko is told, or tells. */
static int armed(const char *set)
{
	int fd = open(armed_path, set ? O_WRONLY : O_RDONLY);
	char now[4] = "";

	if (fd < 0 || (set ? write(fd, set, 1) : read(fd, now, 1)) != 1)
		ksft_exit_fail_msg("%s: %s\n", armed_path, strerror(errno));
	close(fd);
	return now[0] - '0';
}

/*
 * Two pages are given back, and come again in the other's place: what was freed last is
 * had first.
 */
static void *change(void *arg)
{
	char *area = arg;

	while (armed(NULL) != 2)
		if (armed(NULL) == 0)
			return NULL;
	madvise(area + 10 * PAGE, PAGE, MADV_DONTNEED);
	madvise(area + 20 * PAGE, PAGE, MADV_DONTNEED);
	area[10 * PAGE] = 0xaa;
	area[20 * PAGE] = 0xbb;
	armed("0");
	return area;
}

static void test_change(void)
{
	void *changed = NULL;
	pthread_t thread;
	struct ahead a;

	begin(&a, reads, sizeof(reads), 0);
	fill(a.area, 0, 1);
	armed("1");
	if (pthread_create(&thread, NULL, change, a.area))
		ksft_exit_fail_msg("no thread\n");
	move_it(&a);
	/* It has waited, if it has looked up more than one. */
	if (armed(NULL) == 1)
		armed("0");
	pthread_join(thread, &changed);
	if (a.m.ok && !changed) {
		snprintf(a.m.why, sizeof(a.m.why), "no two pages were looked up at once");
		a.m.ok = false;
	}
	want_read(&a);
	verdict(&a, "pages that change after they were looked up are the new ones");
}

int main(int argc, char **argv)
{
	bool waits = !access(armed_path, W_OK);

	args_two(argc, argv, usage, mini_names);
	ksft_print_header();
	ksft_set_plan(waits ? 9 : 8);
	test_small();
	test_parts();
	test_zeros();
	test_forked();
	test_readonly();
	test_far(0, true, "huge pages are huge, and a gap around them costs nothing");
	test_far(PAGE, true, "huge pages that the guest has in another place are small");
	test_far(0, false, "so are small ones that fill a huge one's place");
	if (waits)
		test_change();
	ksft_finished();
}
