// SPDX-License-Identifier: GPL-2.0-only
/*
 * vmm-hostile's arguments: on pages that are there, end too early, cannot be written to,
 * are not mapped, come only when they are read, or change meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "vmm.h"
#include "hostile.h"

#define EDGE		(8 * PAGE)

__u64 args_number(struct rng *r)
{
	static const __u64 some[] = {
		0, 1, 2, 3, 4, 7, 8, 0xf, 0x10, 0x1f, 0x20, 0x3f, 0x40, 0x7f, 0xff, 0x100,
		0x1000, 0xfff, 0x7fffffff, 0x80000000, 0xffffffff, 0xfee00000, 0xfec00000,
		0xfffbc000, 0xfffff000, 1ull << 32, 1ull << 52, 1ull << 63, ~0ull, -2ull,
		-4096ull, 0xffff888000000000ull,
	};

	switch (rnd(r, 4)) {
	case 0:
		return rnd64(r);
	case 1:
		return rnd(r, 32);
	case 2:
		return 1ull << rnd(r, 64);
	default:
		return some[rnd(r, sizeof(some) / sizeof(*some))];
	}
}

static char *pages(size_t len, int prot, int flags, int fd)
{
	return mmap(NULL, len, prot, flags | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
}

static int thread_open(struct worker *w, struct thread *t)
{
	const int rw = PROT_READ | PROT_WRITE;
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = memfd_create("ro", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, BIGGEST))
		return -errno;
	t->plain = pages(2 * BIGGEST, rw, MAP_PRIVATE, -1);
	t->edge = pages(EDGE + PAGE, rw, MAP_PRIVATE, -1);
	t->ro = pages(BIGGEST, PROT_READ, MAP_SHARED, fd);
	t->ro_alias = pages(BIGGEST, rw, MAP_SHARED, fd);
	t->split = pages(2 * PAGE, rw, MAP_PRIVATE, -1);
	close(fd);
	if (t->plain == MAP_FAILED || t->edge == MAP_FAILED || t->ro == MAP_FAILED ||
	    t->ro_alias == MAP_FAILED || t->split == MAP_FAILED)
		return -ENOMEM;
	munmap(t->edge + EDGE, PAGE);
	reg.range.start = (unsigned long)t->split + PAGE;
	reg.range.len = PAGE;
	return ioctl(w->uffd, UFFDIO_REGISTER, &reg) ? -errno : 0;
}

int args_open(struct worker *w)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	unsigned int i;
	int r, fd = memfd_create("ram", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, RAM))
		return -errno;
	w->ram = pages(RAM, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	w->ram_fd = fd;
	w->missing = pages(MISSING, PROT_READ | PROT_WRITE, MAP_PRIVATE, -1);
	if (w->ram != MAP_FAILED && w->halting)
		memset(w->ram, HALT, RAM);
	w->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (w->ram == MAP_FAILED || w->missing == MAP_FAILED || w->uffd < 0 ||
	    ioctl(w->uffd, UFFDIO_API, &api))
		return -errno;
	reg.range.start = (unsigned long)w->missing;
	reg.range.len = MISSING;
	if (ioctl(w->uffd, UFFDIO_REGISTER, &reg))
		return -errno;
	for (i = 0; i < THREADS; i++) {
		r = thread_open(w, &w->t[i]);
		if (r)
			return r;
	}
	return 0;
}

/* Whoever waits for a page waits for this thread, and for nothing else. */
static void *serve_pages(void *arg)
{
	static char page[PAGE];
	struct worker *w = arg;
	struct pollfd p = { .fd = w->uffd, .events = POLLIN };
	struct uffd_msg msg;
	unsigned int i;

	if (w->halting)
		memset(page, HALT, PAGE);
	for (;;) {
		struct uffdio_copy copy = { .src = (unsigned long)page, .len = PAGE };

		if (poll(&p, 1, 100) <= 0 || read(w->uffd, &msg, sizeof(msg)) != sizeof(msg))
			continue;
		copy.dst = msg.arg.pagefault.address & ~(PAGE - 1);
		for (i = 0; i < THREADS; i++)
			if (copy.dst == (unsigned long)w->t[i].split + PAGE)
				copy.src = (unsigned long)w->t[i].second;
		usleep(200 * (msg.arg.pagefault.address / PAGE % 16));
		if (ioctl(w->uffd, UFFDIO_COPY, &copy) && errno != EEXIST) {
			struct uffdio_range range = { .start = copy.dst, .len = PAGE };

			ioctl(w->uffd, UFFDIO_WAKE, &range);
		}
	}
	return NULL;
}

static void *flip(void *arg)
{
	struct worker *w = arg;
	unsigned int i;

	for (;;) {
		bool any = false;

		for (i = 0; i < THREADS; i++) {
			struct thread *t = &w->t[i];

			if (!VMM_LOAD(t->flipping))
				continue;
			any = true;
			memcpy(t->flip.at, t->flip.b, t->flip.len);
			__atomic_signal_fence(__ATOMIC_SEQ_CST);
			memcpy(t->flip.at, t->flip.a, t->flip.len);
		}
		if (!any)
			sched_yield();
	}
	return NULL;
}

int args_serve(struct worker *w)
{
	pthread_t thread;

	return -(pthread_create(&thread, NULL, serve_pages, w) ?:
		 pthread_create(&thread, NULL, flip, w));
}

void *args_place(struct thread *t, const void *a, const void *b, size_t len)
{
	unsigned int how = rnd(&t->rng, 20);
	size_t part = len > 1 ? 1 + rnd(&t->rng, len - 1) : 1;

	/* One thread's argument more or less changes nothing else. */
	if (len > SMALL && how > 2 && how < 9)
		how = 19;
	switch (how) {
	case 0:
		memcpy(t->edge + EDGE - part, a, part < len ? part : len);
		return t->edge + EDGE - part;
	case 1:
		memcpy(t->ro_alias, a, len);
		return t->ro;
	case 2:
		return one_in(&t->rng, 2) ? t->edge + EDGE : (char *)args_number(&t->rng);
	case 3:
		madvise(t->split + PAGE, PAGE, MADV_DONTNEED);
		memcpy(t->split + PAGE - part, a, part < len ? part : len);
		if (part < len)
			memcpy(t->second, (const char *)b + part, len - part);
		return t->split + PAGE - part;
	case 4 ... 8:
		t->flip.at = t->plain + (one_in(&t->rng, 4) ? PAGE - part % PAGE : 0);
		t->flip.len = len;
		memcpy(t->flip.a, a, len);
		memcpy(t->flip.b, b, len);
		memcpy(t->flip.at, a, len);
		VMM_STORE(t->flipping, true);
		return t->flip.at;
	default:
		memcpy(t->plain, a, len);
		return t->plain;
	}
}

void args_done(struct thread *t)
{
	VMM_STORE(t->flipping, false);
}
