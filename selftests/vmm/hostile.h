/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmm-hostile: processes of threads that call whatever ioctl on whatever descriptor.
 *
 * What a thread does follows from its seed alone, and never from what a call answered:
 * the same seed makes the same sequence of steps in each thread. Descriptors have fixed
 * numbers for that, HOSTILE_FD() and up, and a new one takes the place of an old one by
 * dup2(), whoever uses that.
 */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <linux/kvm_core.h>
#include <linux/types.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#define PAGE		4096ul
#define WORKERS		3
#define THREADS		3
#define STEPS		400		/* of a thread, in one process */
#define RAM		(4ul << 20)
#define MISSING		(16 * PAGE)
#define SMALL		4096u		/* arguments that are flipped, or come in parts */
#define BIGGEST		16384u
/*
 * Bochs does not interrupt a guest whose IF is clear. With worker.halting a guest has this
 * wherever it gets to, leaves guest mode in each loop, and its HLT is always an exit.
 */
#define HALT		0xf4

/* Kinds of descriptors; the first is opened by number, the others come from calls. */
enum kind {
	K_KVM, K_VM, K_VCPU, K_DEV, K_EVENT, K_MEM, K_STATS, K_KA, K_SESSION, K_WATCH, K_CORE,
	KINDS,
	K_NONE = KINDS
};

#define EACH		6		/* descriptors of a kind */
#define HOSTILE_FD(kind, n) (64 + (int)(kind) * EACH + (int)(n))

struct rng {
	__u64	s;
};

/* An argument that another thread writes all the time, in two versions. */
struct flip {
	void	*at;
	size_t	len;
	char	a[SMALL];
	char	b[SMALL];
};

struct worker;

struct thread {
	struct worker	*w;
	unsigned int	id;
	pthread_t	thread;
	struct rng	rng;
	__u64		step;		/* written by the thread, read by the watch */
	bool		ended;
	/* Where arguments lie: see hostile-args.c. */
	char		*plain;
	char		*edge;		/* its end is the end of what is mapped */
	char		*ro;
	char		*ro_alias;	/* the same page, to be written to */
	char		*split;		/* the second of its two pages is missing */
	char		second[PAGE];
	struct flip	flip;
	bool		flipping;
	char		*map[4];	/* of vCPUs */
	size_t		map_len[4];
	/* What an adoption points to, and of which VM it is. */
	unsigned int	adopt_vm;
	__s32		adopt_vcpu[2];
	__u32		adopt_exit[2];
	struct kvm_core_adopt_slot adopt_slot;
};

/* Of all processes. */
struct board {
	__u64	calls[WORKERS][THREADS];
	__u64	good[WORKERS][THREADS];
	__u64	last[WORKERS][THREADS];	/* number of the ioctl */
	__u64	runs;			/* KVM_RUN that returned 0, or EINTR */
	__u64	moved;			/* as the VMM asked */
	__u64	adopted;
	__u64	operated;		/* as the operator asked */
	__u64	failed[KVM_CORE_STAGES];	/* of the operator's, in that stage */
	__u64	drained;
	bool	end;			/* of the operator */
};

struct worker {
	unsigned int	id;
	__u64		seed;
	unsigned int	round;
	struct board	*board;
	const char	**nodes;
	unsigned int	node_count;
	bool		verbose;
	bool		halting;	/* guests never run for long, see HALT */
	int		sock[2];	/* one pair for all processes */
	int		end_how;
	__u64		end_step;
	char		*ram;
	int		ram_fd;
	char		*missing;	/* guest memory that is missing again and again */
	int		uffd;
	pthread_barrier_t all;		/* of the threads, before their first step */
	struct thread	t[THREADS];
};

static inline __u64 rnd64(struct rng *r)
{
	__u64 z = r->s += 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* From 0 to n - 1. */
static inline unsigned int rnd(struct rng *r, unsigned int n)
{
	return (rnd64(r) >> 16) % n;
}

static inline bool one_in(struct rng *r, unsigned int n)
{
	return !rnd(r, n);
}

/* hostile-args.c: memory of arguments, and who changes it */
int args_open(struct worker *w);
/* Threads of the process that flip arguments and bring missing pages. */
int args_serve(struct worker *w);
/* The address at which KVM finds the one, the other, half of them or nothing. */
void *args_place(struct thread *t, const void *a, const void *b, size_t len);
/* The call has returned. */
void args_done(struct thread *t);
/* Numbers at which something happens. */
__u64 args_number(struct rng *r);

/* hostile-make.c: what is in an argument */
typedef size_t make_fn(struct thread *t, void *buf);

make_fn make_slot, make_irqfd, make_ioeventfd, make_routing, make_cpuid, make_msrs,
	make_device, make_attr, make_log, make_clear_log, make_cap, make_filter,
	make_pmu_filter, make_mask, make_zone, make_line, make_irqchip, make_move,
	make_adopt, make_notify, make_ka_create, make_ka_claim, make_ka_add, make_ka_opaque,
	make_ka_index, make_hv_eventfd, make_list, make_xen_attr, make_debug, make_event_inject,
	make_core_name, make_encrypt;
int some_fd(struct thread *t, enum kind kind);
/* Instructions for the guest, ended by a jump to the first. */
void make_code(struct thread *t, unsigned char *at, size_t len);

/* hostile-calls.c: the ioctls */
void call_some(struct thread *t);
/* Counted; a descriptor that it returns gets a place of the kind. */
long call(struct thread *t, int fd, unsigned long req, unsigned long arg, enum kind makes);
unsigned int call_count(void);
void fd_keep(struct thread *t, int fd, enum kind kind);

/* hostile-steps.c: what a thread does besides */
void step(struct thread *t);
/* Handler of SIGSEGV and SIGBUS */
void step_fault(int sig);
int wire_pass(struct thread *t, int fd);

/* hostile-operator.c: a process that moves VMs, drains and looks */
void operator_run(const struct worker *like, __u64 seed);

#endif
