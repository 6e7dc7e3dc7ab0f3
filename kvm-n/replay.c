// SPDX-License-Identifier: GPL-2.0-only
/*
 * Functions of the host that an instance calls, for a task that calls ioctls with
 * what kvm-core has for it (kvm-core/file/mark.c): the argument is then in the
 * kernel, and descriptors are kvm-core's. For all other tasks they do what they
 * always do.
 */
#include <linux/eventfd.h>
#include <linux/file.h>
#include <linux/irqbypass.h>
#include <linux/kobject.h>
#include <linux/kvm_host.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "relay.h"
#include "compat.h"

WRAP(_copy_from_user);
REAL(_copy_from_user);
WRAP(_copy_to_user);
REAL(_copy_to_user);
WRAP(memdup_user);
REAL(memdup_user);
WRAP(vmemdup_user);
REAL(vmemdup_user);
WRAP(fget);
REAL(fget);
WRAP(eventfd_ctx_fdget);
REAL(eventfd_ctx_fdget);
WRAP(get_unused_fd_flags);
REAL(get_unused_fd_flags);
WRAP(put_unused_fd);
REAL(put_unused_fd);
WRAP(fd_install);
REAL(fd_install);
WRAP(kobject_uevent_env);
REAL(kobject_uevent_env);
WRAP(get_user_pages_unlocked);
REAL(get_user_pages_unlocked);

/* No address of userspace; the second question is asked of no one else. */
static bool of_kernel(const void __user *p, size_t n, bool write)
{
	return unlikely((__force long)p < 0) &&
	       kvm_core_arg((const void __force *)p, n, write);
}

unsigned long __wrap__copy_from_user(void *to, const void __user *from,
				     unsigned long n)
{
	if (!of_kernel(from, n, false))
		return __real__copy_from_user(to, from, n);
	memcpy(to, (const void __force *)from, n);
	return 0;
}

unsigned long __wrap__copy_to_user(void __user *to, const void *from,
				   unsigned long n)
{
	if (!of_kernel(to, n, true))
		return __real__copy_to_user(to, from, n);
	memcpy((void __force *)to, from, n);
	return 0;
}

/**
 * kvm_relay_clear_user - clear_user(), of kernel memory where kvm-core gave some
 * @to: where
 * @n: bytes
 *
 * Context: process; sleeps.
 * Return: bytes that were not cleared.
 */
unsigned long kvm_relay_clear_user(void __user *to, unsigned long n)
{
	if (!of_kernel(to, n, true))
		return clear_user(to, n);
	memset((void __force *)to, 0, n);
	return 0;
}

void *__wrap_memdup_user(const void __user *src, size_t len)
{
	void *p;

	if (!of_kernel(src, len, false))
		return __real_memdup_user(src, len);
	p = kmemdup((const void __force *)src, len, GFP_KERNEL_ACCOUNT);
	return p ?: ERR_PTR(-ENOMEM);
}

void *__wrap_vmemdup_user(const void __user *src, size_t len)
{
	void *p;

	if (!of_kernel(src, len, false))
		return __real_vmemdup_user(src, len);
	p = kvmalloc(len, GFP_KERNEL_ACCOUNT);
	if (!p)
		return ERR_PTR(-ENOMEM);
	memcpy(p, (const void __force *)src, len);
	return p;
}

/* Held by kvm-core meanwhile. */
WRAP_FDGET(kvm_core_arg_file)

struct file *__wrap_fget(unsigned int fd)
{
	struct file *file;

	if (!kvm_core_arg_file(fd, &file))
		return __real_fget(fd);
	return file ? get_file(file) : NULL;
}

struct eventfd_ctx *__wrap_eventfd_ctx_fdget(int fd)
{
	struct file *file;

	if (!kvm_core_arg_file(fd, &file))
		return __real_eventfd_ctx_fdget(fd);
	return file ? eventfd_ctx_fileget(file) : ERR_PTR(-EBADF);
}

int __wrap_get_unused_fd_flags(unsigned int flags)
{
	int fd = kvm_core_replay_fd();

	return fd < 0 ? __real_get_unused_fd_flags(flags) : fd;
}

void __wrap_put_unused_fd(unsigned int fd)
{
	if (!kvm_core_replaying())
		__real_put_unused_fd(fd);
}

void __wrap_fd_install(unsigned int fd, struct file *file)
{
	if (kvm_core_replaying()) {
		kvm_core_replay_made(file);
		return;
	}
	kvm_core_file_number(file, fd);
	__real_fd_install(fd, file);
}

/*
 * A page of the VMM's that is not there may take as long as the VMM likes. Where nobody
 * waits for it (core_nowait_begin()), a vCPU fetches it later, on its way into the guest.
 */
static unsigned int gup_flags_now(unsigned int flags)
{
	return kvm_core_nowait() ? flags | FOLL_NOWAIT : flags;
}

WRAP_GUP(gup_flags_now)

long __wrap_get_user_pages_unlocked(unsigned long start, unsigned long nr_pages,
				    struct page **pages, unsigned int gup_flags)
{
	return __real_get_user_pages_unlocked(start, nr_pages, pages,
					      gup_flags_now(gup_flags));
}

/* A VM that changes its KVM is neither created nor destroyed. */
int __wrap_kobject_uevent_env(struct kobject *kobj, enum kobject_action action,
			      char *envp[])
{
	if (kvm_core_replaying())
		return 0;
	return __real_kobject_uevent_env(kobj, action, envp);
}
