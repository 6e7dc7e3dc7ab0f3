/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmm-adopt: a coordinator gives orders to VMMs, which are processes of their own, and
 * looks at the guest meanwhile.
 */
#ifndef ADOPT_H
#define ADOPT_H

#include <linux/types.h>
#include <stdbool.h>
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
	ORDER_EXIT_AND_DIE, /* be killed in an exit from now on */
	ORDER_KEEP,	/* have a session keep the descriptors */
	ORDER_CLAIM,	/* claim the session, and take the descriptors from it */
	ORDER_RELEASE,	/* the session */
	ORDER_HAND,	/* start a custodian, and hand it the VM */
	ORDER_ASK,	/* as ORDER_ADOPT, from the custodian */
	ORDER_ASK_AND_DIE, /* before the VM is adopted */
	ORDER_OPEN,	/* as ORDER_CLAIM, with the ticket's file */
};

/* ORDER_GO: exits that wait are as a custodian has left them. */
#define ORDER_FROM_HOLD	1
/* ORDER_LEFT: it runs already, and an ioctl of a vCPU would wait until that leaves KVM_RUN. */
#define ORDER_RUNS	2

/* What a VMM is told, and answers. */
struct order_msg {
	__u32		order;
	__u32		to;		/* index of an instance */
	__u32		flags;
	__u32		nth;	/* exit to be killed in; ORDER_HAND: the custodian */
	__s32		ret;
	struct kvm_core_move mv;
	char		why[KVMRELAY_REASON_LEN];
};

/* Of all processes. */
struct common {
	struct vm_report report;
	struct vcpu_dev	dev[GUEST_MAX_CPUS];
	__u32		gone[GUEST_MAX_CPUS];
	/* An exit that who had the VM did not handle. */
	__u32		exit[GUEST_MAX_CPUS];
	/* It is not yet killed in there. */
	__u32		stay;
	/* The entry of each dirty ring to be collected next: the collector's to know. */
	__u32		next[GUEST_MAX_CPUS];
	/* Of the session that keeps the VM. */
	struct kvmrelay_ticket ticket;
	/* The same in a file, and where a custodian is asked */
	char		ticket_path[80];
	char		socket_path[80];
};

extern struct common *common;

/* A VMM, in its own process. */
struct adopt_vmm {
	int		sock;
	struct vm_shape	shape;
	struct vm_fds	fds;
	/* What it was given, or has made itself: parts */
	struct kvmrelay_vm *from;
	struct vm_parts	parts;
	struct vm	*vm;
	char		path[64];
	__u32		exits[GUEST_MAX_CPUS];
	int		session;
};

/* adopt-stage.c: the coordinator */

/* A VMM, seen from there */
struct vmm {
	pid_t	pid;
	int	sock;
	bool	has;	/* the descriptors */
};

/* The holder of the descriptors, who looks at the guest, too */
struct stage {
	struct watch	w;
	struct vm_fds	fds;
	struct kvmrelay_vm *vm;
	struct vmm	vmm[2];
};

bool vmm_start(struct stage *st, unsigned int n);
void vmm_end(struct vmm *v, bool kill_it);
/* In the place of a VMM that is dead */
enum watch_result vmm_start_again(struct stage *st, unsigned int n);
/* With two VMMs; entries of a dirty ring, or 0 */
bool stage_open(struct stage *st, unsigned int guest, __u32 ring);
void stage_close(struct stage *st);
/* From here on only the VMMs, or a session, have the descriptors. */
void stage_close_vm(struct stage *st);
/* And VMM 0 has made the VM, and runs it */
enum watch_result stage_begin(struct stage *st, unsigned int guest, __u32 ring);
struct order_msg order_message(unsigned int to, bool same);
bool order_tell(struct stage *st, unsigned int n, enum order order, struct order_msg *m);
/* The answer; the guest is looked after meanwhile. */
enum watch_result order_answer(struct stage *st, unsigned int n, struct order_msg *m);
/* Both */
enum watch_result order_give(struct stage *st, unsigned int n, enum order what,
			     struct order_msg *m);
/* VMM n takes the VM from the other one, which is there still unless it is dead. */
enum watch_result stage_adopt(struct stage *st, unsigned int n, unsigned int to, bool same,
			      bool dead, __u64 *downtime);

/* adopt-operator.c: rounds in which one is first; @more: how often which */
enum watch_result adopt_operator(struct stage *st, char *more, size_t size);

/* adopt-vmm.c */
int adopt_broken(struct order_msg *m, const char *fmt, ...) __printf(2, 3);
int adopt_room(struct adopt_vmm *s, struct order_msg *m);
int adopt_vm(struct adopt_vmm *s, struct order_msg *m);
void __noreturn adopt_vmm_run(struct adopt_vmm *s);

/* adopt-refused.c */
void adopt_bad(struct adopt_vmm *s, struct order_msg *m);
void adopt_busy(struct adopt_vmm *s, struct order_msg *m);
void adopt_own(const struct adopt_vmm *s, struct order_msg *m);

/* adopt-session.c */
void adopt_keep(struct adopt_vmm *s, struct order_msg *m);
void adopt_claim(struct adopt_vmm *s, struct order_msg *m);
void adopt_release(struct adopt_vmm *s, struct order_msg *m);

/* adopt-hold.c */
void adopt_hand(struct adopt_vmm *s, struct order_msg *m);
void adopt_ask(struct adopt_vmm *s, struct order_msg *m);
void adopt_open(struct adopt_vmm *s, struct order_msg *m);
/* What custodians write to */
extern int hold_out;
/* A process of kvm-relay-hold with these arguments, and this descriptor or -1 */
pid_t hold_exec(const char * const *args, int fd);

#endif
