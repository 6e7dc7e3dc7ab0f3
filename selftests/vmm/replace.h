/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vmm-replace: VMMs, processes of their own, that take a VM with a passed-through device from
 * each other or from one that was killed, and this process, which has none of it and looks at
 * the guest.
 */
#ifndef REPLACE_H
#define REPLACE_H

#include <linux/kvm_core.h>
#include <linux/types.h>
#include <stdbool.h>
#include "../vfio/vfio.h"
#include "vmm.h"

/* Slots of the VM: its memory, and the device's registers. */
enum { SLOT_MEM, SLOT_BAR, SLOTS };

/* The vCPU of the rings' guest that writes to the stream */
#define STREAM_CPU	2

/* Where a VMM ends. Up to DIE_RECOVERED it does so on its way to the VM. */
enum die {
	DIE_NOT,
	DIE_STARTED,
	DIE_CLAIMED,		/* the new token is known to nobody else */
	DIE_STORED,		/* it is, and the claim is not confirmed */
	DIE_CONFIRMED,
	DIE_ADDRESSES_GONE,	/* the container's mappings have none */
	DIE_ADDRESSES,
	DIE_ADOPTED,		/* and exits of the VMM before are not looked at */
	DIE_RECOVERED,
	DIE_EXIT,		/* an exit was not handled */
	DIE_EXIT_HANDLED,	/* it was, and nobody else knows */
	DIE_EXIT_NOTED,		/* the journal has it, and kvm_run does not */
	DIE_EXIT_MARKED,	/* kvm_run does, too */
	DIE_EXIT_DONE,		/* and KVM_RUN was not called */
	DIE_POINTS,
	DIE_WRITE_DONE = DIE_POINTS,	/* the same, of a write that KVM has behind it */
};

/* How it ends there. */
enum how { HOW_KILL, HOW_SEGV, HOW_OOM };

/* What a VMM says when the VM runs. */
struct up {
	__u64	claimed_at;	/* CLOCK_MONOTONIC, as all */
	__u64	stopped_at;
	__u64	runs_at;
	__u64	downtime_ns;
	__u64	claim_ns;	/* of the claim and all descriptors */
	long	irqs;		/* that the host took before; of the first VMM */
};

/* Of all processes. */
struct replace_common {
	struct vm_report report;
	/* Of the session; the one that is valid is stored before this says so. */
	struct ticket	ticket[2];
	__u32		valid;
	/* Of the last two VMMs that adopted: how exits before them ended. */
	__u32		exits[2][GUEST_MAX_CPUS];
	/* How exits that nobody had completed ended, by enum kvm_core_adopt_exit. */
	__u32		verdicts[3];
	/* Exits of a VMM before that the journal completed, and undid; that were handled late. */
	__u32		finished;
	__u32		undone;
	__u32		late;
	char		why[200];
};

/* Of all processes, where the VM has dirty rings; only who has the VM writes to it. */
struct replace_rings {
	__u32	next[GUEST_MAX_CPUS];	/* entry of each to be collected next */
	__u64	rounds;			/* over all rings, with all that was collected copied */
	__u64	collected;
	__u64	found;			/* of those, left behind by the VMM before */
	__u64	moved[GUEST_MAX_CPUS];
	__u64	posted;			/* writes collected by KVM, left behind likewise */
	unsigned int half;		/* VMMs killed between an entry and noting it */
	char	why[200];
	__u8	todo[GUEST_MIN_MEM >> 12];	/* pages that were collected, and not copied */
	char	copy[GUEST_MIN_MEM];
};

/* A device that is passed through. */
struct replace_device {
	const char	*name;
	unsigned int	guest;
	const char	*irq;		/* in /proc/interrupts, with its address */
	__u64		bar;		/* in the guest's memory */
	__u32		ring;		/* entries of dirty rings, or 0 */
	bool		again;		/* it tells twice what was not read; two may become one */
	void		(*start)(struct device *d, char *mem);
};

/* What a VMM is told before it begins. */
struct replace {
	const char	*bdf;
	const struct replace_device *kind;
	const char	*name[2];
	struct vm_shape	shape;
	int		mem;		/* the guest's memory, of the first VMM alone */
	struct replace_common *common;
	struct replace_rings *rings;	/* or NULL */
	unsigned int	turn;
	unsigned int	to;		/* instance */
	bool		same;		/* it is on that one already */
	enum die	die;
	enum how	how;
	int		nth;		/* exit to end in */
	bool		bad;		/* tries what is refused before */
	const char	*hold;		/* socket of a custodian that has the VM, or NULL */
	int		leave;		/* a byte: the next one may have the session */
	int		told;		/* struct up */
};

struct replace_vmm;

/* A VMM's way to a dirty ring */
struct replace_ring {
	struct replace_vmm *v;
	struct ring	ring;
	bool		first;		/* not collected yet, and another VMM had it */
};

/* A VMM. */
struct replace_vmm {
	const struct replace *r;
	struct replace_common *common;
	struct device	d;
	struct vm	*vm;
	struct vm_fds	fds;
	struct kvmrelay_vm *got;	/* what the VMM before has left */
	int		hold;		/* socket to the custodian that has it, or -1 */
	int		vfio;		/* kvm-vfio */
	int		session;
	struct journal	*journal;
	int		journal_fd;
	struct up	up;
	__u32		exits[GUEST_MAX_CPUS];
	char		path[64];
	int		exits_left;	/* until it ends */
	struct replace_ring ring[GUEST_MAX_CPUS];
	pthread_mutex_t	collecting;
};

/* replace-vmm.c */
void __noreturn replace_vmm_run(const struct replace *r);
void replace_die(const struct replace_vmm *v, enum die where);

/* replace-device.c */
extern const struct replace_device replace_devices[];
const struct replace_device *replace_device(const char *name);
int replace_mappings_drop(const struct device *d);
int replace_mappings_move(const struct device *d, const char *mem, __u64 size);

/* replace-journal.c: the VMM's devices, in memory that outlives it */
int journal_make(struct replace_vmm *v);
void journal_map(struct replace_vmm *v);
/* This process handles exits; waits until no other does. */
void journal_lock(struct replace_vmm *v);
void journal_unlock(struct replace_vmm *v);
/* An exit was handled: before KVM_RUN. */
void journal_commit(struct replace_vmm *v, struct vcpu *c);
/* What the VMM before has left of an exit; @verdict: enum kvm_core_adopt_exit. */
void journal_recover(struct replace_vmm *v, struct vcpu *c, __u32 verdict);

/* replace-ring.c: dirty rings, if there are any */
/* From here on another thread collects; no other process does. */
void replace_rings_begin(struct replace_vmm *v);
/* No more, until this process ends */
void replace_rings_end(struct replace_vmm *v);
/* The guest has ended: is its memory what was copied by the rings? */
bool replace_rings_complete(struct replace_rings *a, const char *mem);

/* replace-hold.c: the process that looks at the guest, between two VMMs */
struct replace_hold {
	pid_t	pid;
	int	says;
	char	line[200];
	__u64	downtime_us;
	unsigned int handled;	/* reads that wait and that their VMM has handled */
};

/* For the session of the ticket: @watch, its VMM lives. 0 or -errno. */
int replace_hold_start(struct replace_hold *h, const struct ticket *t, bool watch);
/* Since that VMM's end: it has adopted the VM, and the ticket is the next one. */
int replace_hold_adopted(struct replace_hold *h, struct ticket *t);
/* Where the next VMM gets it */
#define REPLACE_HOLD_SOCKET	"/tmp/replace-hold"
/* Its exit status, once that has it (@given); else it is ended. */
int replace_hold_end(struct replace_hold *h, bool given);

/* replace-session.c: the VM, its device and all else, kept by libkvmrelay's names */
void replace_keep_all(struct replace_vmm *v);
void replace_take_all(struct replace_vmm *v);

/* replace-adopt.c */
int replace_adopt(struct replace_vmm *v, struct kvm_core_move *mv, struct kvmrelay_error *why);
void replace_refused(struct replace_vmm *v);

#endif
