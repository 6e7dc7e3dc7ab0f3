// SPDX-License-Identifier: GPL-2.0-only
/*
 * Linked into the KVM selftests (--wrap): they wait for their guests as long as it takes.
 *
 * Some give a guest a second or two of the clock, which an emulated host on a busy
 * machine has gone by without having run the guest. Who runs them ends what hangs.
 */
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

extern __typeof__(usleep) __real_usleep;

int __wrap_sem_timedwait(sem_t *sem, const struct timespec *end)
{
	(void)end;
	return sem_wait(sem);
}

unsigned int __wrap_alarm(unsigned int seconds)
{
	(void)seconds;
	return 0;
}

/*
 * In a long one another thread is to come into its guest. When the emulator stood still
 * all of it may be over at once: in parts, others have a turn after each.
 */
int __wrap_usleep(useconds_t us)
{
	unsigned int parts = us < 50000 ? 1 : 20, i;

	for (i = 0; i < parts; i++)
		__real_usleep(us / parts);
	return 0;
}
