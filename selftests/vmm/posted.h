/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Of vmm-posted: a VM to which devices post goes to a new one, of this process or of
 * another, whose vCPUs take its vCPUs' posted-interrupt descriptors.
 */
#ifndef SELFTESTS_VMM_POSTED_H
#define SELFTESTS_VMM_POSTED_H

#include "vmm.h"

/*
 * The state of another VM, whose memory this one has. Its last page is a guest's that
 * does not use it.
 */
int posted_restore(struct vm *vm, const struct vm_state *st);

/*
 * The vCPUs of @to take the descriptors of those whose file descriptors are in @from.
 * 0 or an errno.
 */
int posted_take(struct vm *to, const int *from);

/* Is it refused, with this errno, that @taker takes from @fd? */
bool posted_refused(int taker, int fd, int error);

/**
 * struct posted_vmm - a VMM that is a process of its own
 * @pid:	of the process
 * @ctl:	socket to it: what it is told and what it says
 */
struct posted_vmm {
	pid_t	pid;
	int	ctl;
};

enum posted_answer {
	POSTED_GONE,		/* it failed, and has said why */
	POSTED_MADE	= 'M',	/* the first one's VM is ready to run */
	POSTED_RUNS	= 'R',
	POSTED_TAKEN	= 'T',	/* what was posted to the old VM is posted to its VM */
	POSTED_NOT	= 'N',	/* EOPNOTSUPP, the old VM has everything */
};

/*
 * posted_start - a VMM
 * @path:	of the KVM
 * @w:		shape, memory and report of the VM; its descriptors go to the first alone
 * @from:	the VMM that has the VM, or NULL for the first one
 * @refused:	its KVM does not post; it tries, without the VM's state
 *
 * Answers MADE; or TAKEN or NOT, with the VM of @from paused.
 */
int posted_start(struct posted_vmm *v, const char *path, const struct watch *w,
		 struct posted_vmm *from, bool refused);
enum posted_answer posted_answer(struct posted_vmm *v, unsigned int seconds);
/* After MADE, and after TAKEN, when the old VMM is gone. Answers RUNS. */
void posted_go(struct posted_vmm *v);
/* After TAKEN or NOT: the old VM is whole again. Its VMM answers RUNS. */
void posted_give_back(struct posted_vmm *v);
/* SIGKILL; returns when nothing of it is left. */
void posted_kill(struct posted_vmm *v);

#endif
