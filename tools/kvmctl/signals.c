// SPDX-License-Identifier: GPL-2.0-only
/* What would end this program in the middle of something ends it when that is done. */
#include <signal.h>
#include <stddef.h>

#include "kvmctl.h"

static const int held[] = { SIGINT, SIGTERM, SIGHUP };

static void set_of(sigset_t *set)
{
	size_t i;

	sigemptyset(set);
	for (i = 0; i < sizeof(held) / sizeof(*held); i++)
		sigaddset(set, held[i]);
}

/**
 * signals_hold - from now on signals that end a program wait
 */
void signals_hold(void)
{
	sigset_t set;

	set_of(&set);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

/**
 * signals_pending - has one come since signals_hold()?
 */
bool signals_pending(void)
{
	sigset_t now;
	size_t i;

	sigpending(&now);
	for (i = 0; i < sizeof(held) / sizeof(*held); i++)
		if (sigismember(&now, held[i]) == 1)
			return true;
	return false;
}

/**
 * signals_release - let those that have come have their effect
 */
void signals_release(void)
{
	sigset_t set;

	set_of(&set);
	sigprocmask(SIG_UNBLOCK, &set, NULL);
}
