/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The reference VMM: virtual machines on nothing but KVM's userspace API.
 *
 * Every function that returns int returns 0 or a negative errno unless its
 * comment says otherwise, and has then printed one line with the reason.
 */
#ifndef VMM_H
#define VMM_H

#include <linux/kvm.h>
#include <linux/types.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <kvmrelay.h>
#include "guest/abi.h"

#define VMM_LOAD(x)	__atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define VMM_STORE(x, v)	__atomic_store_n(&(x), (v), __ATOMIC_RELEASE)

/* What a VM is made of, besides its state. */
struct vm_shape {
	__u32	guest;		/* enum guest_id */
	__u32	cpus;
	__u64	mem;
	__u64	ws_per_cpu;	/* 0: a default that fits into mem */
	__u32	split;		/* split irqchip: no PIC, IOAPIC, PIT in the kernel */
	__u32	ring;		/* entries of each vCPU's dirty ring; 0: no ring */
};

/* Descriptors that outlive a VM and go with it; -1 where the guest has none. */
struct vm_fds {
	int	mem;
	int	irq[GUEST_MAX_CPUS];	/* irqfds, VMM to guest */
	int	ack[GUEST_MAX_CPUS];	/* ioeventfds, guest to VMM */
};

/* Why vCPUs ended, in memory that another process may share. */
struct vm_report {
	char	died[GUEST_MAX_CPUS][160];
};

/* State of the VMM's devices: it belongs to the VM and goes with it. */
struct vcpu_dev {
	__u64	latch;
	__u64	mmio;
	__u32	fifo[FIFO_LEN];
	__u32	fifo_in;
	__u32	fifo_out;
	__u32	tally;
	/* Of the stream: numbers taken, and the first entry that was not, of KVM's ring */
	__u32	stream_first;
	__u64	stream;
};

struct vm;

struct vcpu {
	struct vm	*vm;
	int		id;
	int		fd;
	struct kvm_run	*run;
	pthread_t	thread;
	bool		has_thread;
	/* Under vm->lock. */
	bool		pause;
	bool		paused;
	bool		quit;
	bool		entered;	/* has been in KVM_RUN */
	bool		ended;		/* died or failed: runs no more */
	/* A one-shot LAPIC timer that has ticked, as of the last pause. */
	bool		shot_done;
	struct vcpu_dev	dev;
};

struct vm {
	const char	*path;
	struct vm_shape	shape;
	struct vm_fds	fds;		/* borrowed from the caller */
	int		kvm;
	int		fd;
	int		pin;		/* host CPU of all vCPU threads, or -1 */
	int		go;		/* an eventfd that vCPU threads wait for first, or -1 */
	size_t		run_size;
	size_t		xsave_size;
	bool		has_irqfds;
	char		*mem;
	struct vm_report *report;
	pthread_mutex_t	lock;
	pthread_cond_t	changed;
	struct vcpu	vcpu[GUEST_MAX_CPUS];
	/* MSRs of the index list that this vCPU model lets userspace read. */
	struct kvm_msr_list *msrs;
	/* A program's own answer to a port; true when it took the exit. */
	bool		(*on_pio)(struct vcpu *v, __u16 port, bool in, void *data);
	/* A ring is full: false ends the vCPU. Without it, the vCPU waits a little. */
	bool		(*on_ring_full)(struct vcpu *v);
	/* Before an exit is handled: false ends the vCPU. */
	bool		(*on_exit)(struct vcpu *v);
	/* After one was handled, before KVM_RUN. */
	void		(*on_handled)(struct vcpu *v);
	/* KVM_RUN has said EIO: the VM is another process's. Without it, the vCPU died. */
	void		(*on_gone)(struct vcpu *v);
	void		*priv;
	struct slow	*slow;
};

/* errno and one line on stderr: "vmm: what: reason" */
__printf(2, 3) int vmm_error(int err, const char *fmt, ...);

/* vm.c: a VM and its parts */
int vm_fds_make(const struct vm_shape *shape, struct vm_fds *fds);
void vm_fds_close(struct vm_fds *fds);
struct vm *vm_create(const char *path, const struct vm_shape *shape,
		     const struct vm_fds *fds, struct vm_report *report);
void vm_destroy(struct vm *vm);

/* adopt.c: a VM of another process's, by its descriptors */

/* As libkvmrelay wants it; the descriptors are the VM's. */
struct vm_parts {
	struct kvmrelay_vm vm;
	int	vcpu[GUEST_MAX_CPUS];
	struct kvmrelay_slot slot;
};

void vm_parts(const struct vm *vm, struct vm_parts *parts);
/* The same, with descriptors of the VM and its vCPUs still to be filled in. */
void vm_parts_begin(struct vm_parts *parts, const struct vm_shape *shape,
		    const struct vm_fds *fds);
/* With the memory mapped, and descriptors of its own for the VM: not yet adopted. */
struct vm *vm_make_room(const char *path, const struct vm_shape *shape,
			const struct vm_fds *fds, struct vm_report *report,
			const struct kvmrelay_vm *from);
/* As kvmrelay_vm_adopt(); nothing is printed. */
int vm_adopt(struct vm *vm, struct kvm_core_move *mv, __u32 *exits,
	     struct kvmrelay_error *why);
/* Of a VMM that lives, and the vCPUs run: their threads are there before. */
int vm_adopt_and_run(struct vm *vm, struct kvm_core_move *mv, struct kvmrelay_error *why);

/* slow.c: for guests with GN_SLOW. To be ended when the VM's descriptors are closed. */
int slow_start(struct vm *vm);
void slow_stop(struct vm *vm);

/* irq.c: routes, irqfds, ioeventfds */
int vm_route_irqs(struct vm *vm);
int vm_assign_irqfds(struct vm *vm);
/* After this, signals stay in the eventfds. */
int vm_deassign_irqfds(struct vm *vm);
int vm_assign_ioeventfds(struct vm *vm);

/* vcpu.c: threads and the run loop */
int vcpu_open(struct vm *vm, int id);
void vcpu_close(struct vcpu *v);
/* The exit that kvm_run shows; false ends the vCPU, and the report says why. */
bool vcpu_handle_exit(struct vcpu *v);
/* All vCPUs run from here on; the first call makes their threads. */
int vm_resume(struct vm *vm);
/*
 * All vCPUs out of KVM_RUN, with no I/O left to complete: only then is the
 * state that KVM_GET_* reads the whole state.
 */
int vm_pause(struct vm *vm);

/* dev.c: the VMM's devices; false when nobody answers there */
bool dev_pio(struct vcpu *v, __u16 port, bool in, void *data, unsigned int size);
bool dev_mmio(struct vcpu *v, __u64 addr, bool in, void *data, unsigned int size);
/* Numbers of the stream that KVM has collected and nobody has taken */
unsigned int dev_stream_waiting(const struct vcpu *v);

/* boot.c: guest image and first state of the vCPUs */
int vm_boot(struct vm *vm);

/* guests.c */
const char *guest_name(unsigned int id);
const char *guest_about(unsigned int id);
unsigned int guest_needs(unsigned int id);
/* -1 when there is no such guest */
int guest_by_name(const char *name);
/* The same, of those that run by themselves; says so when there is none. */
int guest_parse(const char *name);
/* Names with commas, "all" among them; how many are in the set, or -1. */
int guests_parse(char *list, bool set[GUEST_COUNT]);
void guests_list(void);
/* -c CPUS, -m MIB and -S: true when it was one of them. */
bool shape_option(struct vm_shape *shape, int option, const char *arg);

/*
 * state.c: the dynamic state of a stopped VM, as records whose payload is the
 * argument of the KVM_SET_* ioctl that restores it.
 */
struct state_rec {
	__u64	ioctl;		/* KVM_SET_... */
	__s32	cpu;		/* -1: of the VM */
	__u32	index;		/* chip of KVM_SET_IRQCHIP, otherwise 0 */
	__u32	len;
	__u32	pad;
};

struct vm_state {
	char	*buf;
	size_t	len;
	size_t	room;
};

int vm_save(struct vm *vm, struct vm_state *st);
int vm_restore(struct vm *vm, const struct vm_state *st);
void state_free(struct vm_state *st);
/* Payload of a record, or NULL. */
void *state_find(const struct vm_state *st, __u64 ioctl, int cpu, __u32 index,
		 __u32 *len);
/* Removes all records of an ioctl. */
void state_drop(struct vm_state *st, __u64 ioctl);

/* stat.c: a number of the binary statistics of a VM's or a vCPU's descriptor */
int stat_read(int fd, const char *name, __u64 *value);

/* damage.c: losses made on purpose */
enum damage {
	DAMAGE_NONE,
	DAMAGE_REG, DAMAGE_MSR, DAMAGE_LAPIC, DAMAGE_EVENTS, DAMAGE_XSAVE,
	DAMAGE_CLOCK, DAMAGE_TSC, DAMAGE_DR, DAMAGE_MP, DAMAGE_IRQCHIP,
	DAMAGE_PIT, DAMAGE_MEM, DAMAGE_IRQFD,
	DAMAGE_COUNT
};

int damage_by_name(const char *name);
const char *damage_name(enum damage d);
/* Guests that have to notice, ended by -1. */
const int *damage_guests(enum damage d);
void damage_state(enum damage d, struct vm_state *st, char *mem,
		  const struct vm_shape *shape, const struct vm_fds *fds);

/* pass.c: from one VM to another */
/* After a failure the VM runs on. */
int vm_stop_and_save(struct vm *vm, struct vm_state *st);
int vm_restore_and_run(struct vm *vm, struct vm_state *st, enum damage d);
/* The opposite of vm_pause() and vm_deassign_irqfds(). */
int vm_go_on(struct vm *vm);
/*
 * Both VMs have the same shape, memory and descriptors. stopped() is called while
 * neither runs. After a failure the first one runs on.
 */
int vm_pass(struct vm *from, struct vm *to, enum damage d,
	    void (*stopped)(void *arg), void *arg);

/* wire.c: a VM to another process, over a UNIX socket */
/* Shape and descriptors first, so that the receiver prepares meanwhile. */
int wire_send_shape(int sock, const struct vm_shape *shape,
		    const struct vm_fds *fds);
int wire_recv_shape(int sock, struct vm_shape *shape, struct vm_fds *fds);
int wire_send_state(int sock, struct vm *vm, const struct vm_state *st);
int wire_recv_state(int sock, struct vm *vm, struct vm_state *st);

/* One descriptor; wire_recv_fd() returns it, or -1 at the end of the stream. */
int wire_send_fd(int sock, int fd);
int wire_recv_fd(int sock);

/*
 * ring.c: collecting from dirty rings. A ring belongs to one thread at a time; it
 * may go on with another vCPU after ring_take().
 */
struct kvm_dirty_gfn;

struct ring {
	struct vcpu	*vcpu;
	struct kvm_dirty_gfn *entries;
	__u32		size;
	__u32		next;		/* entry to be collected next */
	int		event;		/* eventfd of ring_sleep(), or -1 */
};

enum ring_stat {
	RING_PUSHED, RING_FULL, RING_RESETS, RING_RESET, RING_THROTTLED,
	RING_THROTTLED_NS, RING_NOTIFIED, RING_MOVED, RING_DROPPED,
	RING_STATS
};

int ring_open(struct ring *r, struct vcpu *v);
void ring_close(struct ring *r);
/* Calls page() for each entry; returns how many. The pages are copied after a reset. */
unsigned int ring_collect(struct ring *r,
			  void (*page)(void *arg, __u32 slot, __u64 offset),
			  void *arg);
/* Entries that were reset, or a negative errno. */
int ring_reset(struct ring *r);
int ring_reset_all(struct vm *vm);
/* From here on ring_sleep() ends when so many entries are in use. */
int ring_wake_at(struct ring *r, unsigned int level);
/* True when it was woken, false after ms milliseconds without. */
bool ring_sleep(struct ring *r, int ms);
/* Pages per second; 0: no limit. */
int ring_limit(struct ring *r, __u64 rate);
int ring_stats(struct ring *r, __u64 value[RING_STATS]);
/* Page frame behind an address of this process, 0 where nothing is mapped yet. */
__u64 ring_frame(const void *p);
/* The ring that is collected by r becomes that of another vCPU. */
int ring_take(struct ring *r, struct vcpu *to);

/* watch.c: looking at a running guest through its memory */
struct watch {
	struct vm_shape	shape;
	struct vm_fds	fds;
	char		*mem;
	struct vm_report *report;
	__u64		sent[GUEST_MAX_CPUS];	/* irqfd signals */
	__u64		acked[GUEST_MAX_CPUS];
	__u64		step[GUEST_MAX_CPUS];	/* where the guest was then */
	unsigned int	burst[GUEST_MAX_CPUS];	/* signals since it came there */
	unsigned int	patience;	/* seconds without any progress */
	bool		in_place;	/* whatever happens to the VM, its guest cannot tell */
	char		why[400];
};

enum watch_result { WATCH_OK, WATCH_SKIP, WATCH_FAIL };

int watch_open(struct watch *w, const struct vm_shape *shape,
	       const struct vm_fds *fds, struct vm_report *report);
void watch_close(struct watch *w);
/* Signals each irqfd whose last signal was answered; waits up to ms for one. */
void watch_pump(struct watch *w, int ms);
/* Until every vCPU made so many more steps, failed or stalled. */
enum watch_result watch_steps(struct watch *w, __u64 steps);
/* Adds to a reason that is not the guest's what the guest has to say, or where it is. */
void watch_explain(struct watch *w);
/* Stops the guest in an orderly way and compares the host's counts with its. */
enum watch_result watch_finish(struct watch *w);

static inline struct guest_shared *vm_shared(char *mem)
{
	return (struct guest_shared *)(mem + GUEST_SHARED);
}

static inline struct guest_cpu *vm_cpu_page(char *mem, unsigned int n)
{
	return (struct guest_cpu *)(mem + GUEST_CPU(n));
}

/*
 * inject.c: a value in debugfs, kvm_core/inject/STAGE/WHAT; is a handoff held at the end of
 * the stage; and the same, with patience.
 */
bool inject_set(const char *stage, const char *what, unsigned int value);
bool inject_held(const char *stage);
bool inject_wait_held(const char *stage, unsigned int seconds);

/* left.c */
/* Files that are open, or that the host has not come to closing; the kernel counts roughly. */
long left_files(void);
/* VMs that kvm-core knows. */
unsigned int left_vms(void);
/* Until there are none, and nothing uses the instances, or for so long. */
bool left_nothing(const char * const instance[2], unsigned int seconds);

__u64 now_ns(void);

/* uevent.c */
/* For what is sent from now on; < 0 is an error, and said. */
int uevents_open(void);
/* The next one, if there is one; found[] counts which of the fields it has. */
bool uevent_next(int fd, const char * const fields[], unsigned int n, unsigned int found[]);
/* One with this field comes, or came since uevents_open(). */
bool uevent_comes(int fd, const char *field, unsigned int seconds);

/* args.c: --help, or INSTANCE OTHER; ends the program if it is anything else. */
void args_two(int argc, char **argv, const char *usage, const char *names[2]);

#endif
