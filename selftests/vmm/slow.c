// SPDX-License-Identifier: GPL-2.0-only
/*
 * Working sets whose pages come late, as from swap: a thread answers their faults by
 * userfaultfd, and takes pages away again that the guest has been to.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "vmm.h"

#define PAGE		4096ull
#define LATE_US		15000

struct slow {
	struct vm	*vm;
	pthread_t	thread;
	bool		has_thread;
	int		uffd;
	int		stop;
};

/* The page, and the page that the guest is to miss after the next. */
static int bring(struct slow *s, __u64 gpa)
{
	struct guest_shared *sh = vm_shared(s->vm->mem);
	__u64 ws = GUEST_WS + (gpa - GUEST_WS) / sh->ws_per_cpu * sh->ws_per_cpu;
	__u64 next = ((gpa - ws) / PAGE + 2) % GUEST_SLOW_PAGES;
	__u64 page[PAGE / 8] = { guest_answer(gpa) };
	struct uffdio_copy copy = {
		.dst = (unsigned long)s->vm->mem + gpa,
		.src = (unsigned long)page,
		.len = PAGE,
	};
	struct uffdio_range range = { .start = copy.dst, .len = PAGE };

	usleep(LATE_US);
	/* Another VM of the same memory may have brought it. */
	if (ioctl(s->uffd, UFFDIO_COPY, &copy) &&
	    (errno != EEXIST || ioctl(s->uffd, UFFDIO_WAKE, &range)))
		return vmm_error(errno, "UFFDIO_COPY");
	if (madvise(s->vm->mem + ws + next * PAGE, PAGE, MADV_REMOVE))
		return vmm_error(errno, "MADV_REMOVE");
	return 0;
}

static void *slow_main(void *arg)
{
	struct slow *s = arg;
	struct pollfd p[2] = {
		{ .fd = s->uffd, .events = POLLIN }, { .fd = s->stop, .events = POLLIN },
	};
	struct uffd_msg msg;

	while (poll(p, 2, -1) > 0 && !p[1].revents) {
		if (read(s->uffd, &msg, sizeof(msg)) != sizeof(msg) ||
		    msg.event != UFFD_EVENT_PAGEFAULT)
			continue;
		if (bring(s, (msg.arg.pagefault.address & ~(PAGE - 1)) -
			  (unsigned long)s->vm->mem))
			break;
	}
	return NULL;
}

int slow_start(struct vm *vm)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = {
			.start = (unsigned long)vm->mem + GUEST_WS,
			.len = vm->shape.mem - GUEST_WS,
		},
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	struct slow *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return vmm_error(ENOMEM, "pages that come late");
	vm->slow = s;
	s->vm = vm;
	s->stop = eventfd(0, EFD_CLOEXEC);
	s->uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (s->stop < 0 || s->uffd < 0 || ioctl(s->uffd, UFFDIO_API, &api) ||
	    ioctl(s->uffd, UFFDIO_REGISTER, &reg))
		return vmm_error(errno, "userfaultfd");
	err = pthread_create(&s->thread, NULL, slow_main, s);
	if (err)
		return vmm_error(err, "thread for pages that come late");
	s->has_thread = true;
	return 0;
}

void slow_stop(struct vm *vm)
{
	struct slow *s = vm->slow;
	__u64 one = 1;

	if (!s)
		return;
	if (s->has_thread && write(s->stop, &one, sizeof(one)) == sizeof(one))
		pthread_join(s->thread, NULL);
	if (s->uffd >= 0)
		close(s->uffd);
	if (s->stop >= 0)
		close(s->stop);
	free(s);
	vm->slow = NULL;
}
