// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMM's devices are saved while they run: their state is in memory that a session keeps, and
 * an exit is handled either wholly or not at all, wherever the VMM is killed.
 *
 * Of each vCPU there are two states, of which one is valid. An exit is handled on a copy.
 * That goes to the other one; a word says that it is there (DO); kvm_run is marked, so that the
 * exit is not handled again; and one store makes the other one valid and takes the word back. A
 * successor who finds the word goes on from there. What KVM does again (a read) has to be
 * undone where it was handled: in the same steps, back to the state before (UNDO).
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "replace.h"

/* In the place of an exit's reason, as libkvmrelay has it for all VMMs and custodians */
#define EXIT_HANDLED	KVM_EXIT_INTR
#define EXIT_NONE	KVM_EXIT_UNKNOWN

/* Of the word: which one is valid, and what is under way. */
#define VALID		1
#define DO		2
#define UNDO		4

struct journal_cpu {
	__u32		word;
	struct vcpu_dev	dev[2];
};

struct journal {
	struct journal_cpu cpu[GUEST_MAX_CPUS];
};

int journal_make(struct replace_vmm *v)
{
	int fd = memfd_create("devices", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, sizeof(struct journal)) ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW))
		err(1, "memory for devices");
	v->journal_fd = fd;
	return fd;
}

void journal_map(struct replace_vmm *v)
{
	v->journal = mmap(NULL, sizeof(*v->journal), PROT_READ | PROT_WRITE, MAP_SHARED,
			  v->journal_fd, 0);
	if (v->journal == MAP_FAILED)
		err(1, "mmap of the devices");
}

/* Of a process, which may end: then it is nobody's. */
static void lock(int fd, int how, const char *what)
{
	struct flock l = { .l_type = how, .l_whence = SEEK_SET, .l_len = 1 };

	while (fcntl(fd, F_SETLKW, &l))
		if (errno != EINTR)
			err(1, "%s", what);
}

void journal_lock(struct replace_vmm *v)
{
	lock(v->journal_fd, F_WRLCK, "lock of the devices");
}

void journal_unlock(struct replace_vmm *v)
{
	lock(v->journal_fd, F_UNLCK, "unlock of the devices");
}

static void finish(struct journal_cpu *j, struct vcpu *c)
{
	__u32 word = VMM_LOAD(j->word);

	if (!(word & (DO | UNDO)))
		return;
	VMM_STORE(c->run->exit_reason, word & DO ? EXIT_HANDLED : EXIT_NONE);
	if (word & DO)
		replace_die(c->vm->priv, DIE_EXIT_MARKED);
	VMM_STORE(j->word, (word & VALID) ^ VALID);
}

void journal_commit(struct replace_vmm *v, struct vcpu *c)
{
	const bool write = c->run->exit_reason == KVM_EXIT_MMIO && c->run->mmio.is_write;
	struct journal_cpu *j = &v->journal->cpu[c->id];
	__u32 valid = j->word & VALID;

	replace_die(v, DIE_EXIT_HANDLED);
	j->dev[!valid] = c->dev;
	VMM_STORE(j->word, valid | DO);
	replace_die(v, DIE_EXIT_NOTED);
	finish(j, c);
	replace_die(v, DIE_EXIT_DONE);
	if (write)
		replace_die(v, DIE_WRITE_DONE);
}

static void undo(struct journal_cpu *j, struct vcpu *c)
{
	VMM_STORE(j->word, (j->word & VALID) | UNDO);
	finish(j, c);
}

void journal_recover(struct replace_vmm *v, struct vcpu *c, __u32 verdict)
{
	struct journal_cpu *j = &v->journal->cpu[c->id];

	if (j->word & (DO | UNDO))
		__atomic_add_fetch(&v->common->finished, 1, __ATOMIC_RELAXED);
	finish(j, c);
	if (verdict == KVM_CORE_ADOPT_EXIT_AGAIN) {
		if (c->run->exit_reason == EXIT_HANDLED) {
			__atomic_add_fetch(&v->common->undone, 1, __ATOMIC_RELAXED);
			undo(j, c);
		}
		c->run->exit_reason = EXIT_NONE;
	}
	c->dev = j->dev[j->word & VALID];
	if (c->run->exit_reason != KVM_EXIT_IO && c->run->exit_reason != KVM_EXIT_MMIO)
		return;
	__atomic_add_fetch(&v->common->late, 1, __ATOMIC_RELAXED);
	if (!vcpu_handle_exit(c))
		errx(1, "an exit of the VMM before was not handled");
	journal_commit(v, c);
}
