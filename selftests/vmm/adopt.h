/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmm-adopt: a coordinator gives orders to VMMs, which are processes of their own, and
 * looks at the guest meanwhile.
 */
#ifndef ADOPT_H
#define ADOPT_H

#include <linux/kvm_core.h>
#include <linux/types.h>
#include <stdbool.h>
#include "../vfio/vfio.h"
#include "vmm.h"

/* What vmm-adopt was started with. */
struct adopt_options {
	const char	*name[2];
	struct vm_shape	shape;
	unsigned int	times;
	unsigned int	steps;
	unsigned int	patience;
	bool		only;
};

extern struct adopt_options adopt_opts;

enum order {
	ORDER_CREATE,	/* the VM, on instance a, and run it */
	ORDER_ADOPT,	/* take it, and do not run it yet */
	ORDER_GO,	/* run it */
	ORDER_LEFT,	/* it was taken: give up what there is of it */
	ORDER_BAD,	/* adoptions that are refused */
	ORDER_BUSY,	/* two at once */
	ORDER_OWN,	/* one of its own VM, refused */
	ORDER_COLLECT,	/* what is in the dirty rings, before it goes on */
	ORDER_DIE_IN_EXIT, /* as ORDER_CREATE, and be killed in an exit */
	ORDER_KEEP,	/* have a session keep the descriptors */
	ORDER_CLAIM,	/* claim the session, and take the descriptors from it */
	ORDER_RELEASE,	/* the session */
};

/* What a VMM is told, and answers. */
struct order_msg {
	__u32		order;
	__u32		to;		/* index of an instance */
	__u32		flags;
	__u32		nth;	/* exit to be killed in */
	__s32		ret;
	struct kvm_core_move mv;
	char		why[200];
};

/* Of all processes. */
struct common {
	struct vm_report report;
	struct vcpu_dev	dev[GUEST_MAX_CPUS];
	__u32		gone[GUEST_MAX_CPUS];
	/* An exit that who had the VM did not handle. */
	__u32		exit[GUEST_MAX_CPUS];
	/* The entry of each dirty ring to be collected next: the collector's to know. */
	__u32		next[GUEST_MAX_CPUS];
	/* Of the session that keeps the VM. */
	struct ticket	ticket;
};

extern struct common *common;

/* A VMM, in its own process. */
struct adopt_vmm {
	int		sock;
	struct vm_shape	shape;
	struct vm_fds	fds;
	struct vm_handles h;
	bool		has;
	struct vm	*vm;
	char		path[64];
	__u32		exits[GUEST_MAX_CPUS];
	int		session;
};

/* adopt-vmm.c */
int adopt_broken(struct order_msg *m, const char *fmt, ...) __printf(2, 3);
int adopt_room(struct adopt_vmm *s, struct order_msg *m);
void __noreturn adopt_vmm_run(struct adopt_vmm *s);

/* adopt-refused.c */
void adopt_bad(struct adopt_vmm *s, struct order_msg *m);
void adopt_busy(struct adopt_vmm *s, struct order_msg *m);
void adopt_own(const struct adopt_vmm *s, struct order_msg *m);

/* adopt-session.c */
void adopt_keep(struct adopt_vmm *s, struct order_msg *m);
void adopt_claim(struct adopt_vmm *s, struct order_msg *m);
void adopt_release(struct adopt_vmm *s, struct order_msg *m);

#endif
