// SPDX-License-Identifier: GPL-2.0-only
/*
 * Prints the frequency of this machine's TSC in kHz, which is that of QEMU's software
 * emulation too. A reading of both clocks counts only when it was not interrupted, so a
 * busy machine makes no difference.
 */
#include <stdio.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

static long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* Of many readings the one for which the clock was read between the closest two TSCs. */
static void both(unsigned long long *tsc, long long *ns)
{
	unsigned long long least = ~0ULL, from, to;
	long long between;
	int i;

	for (i = 0; i < 10000; i++) {
		from = __rdtsc();
		between = now_ns();
		to = __rdtsc();
		if (to - from >= least)
			continue;
		least = to - from;
		*tsc = from + (to - from) / 2;
		*ns = between;
	}
}

int main(void)
{
	unsigned long long tsc[2];
	long long ns[2];

	both(&tsc[0], &ns[0]);
	usleep(500000);
	both(&tsc[1], &ns[1]);
	printf("%.0f\n", (tsc[1] - tsc[0]) * 1e6 / (ns[1] - ns[0]));
	return 0;
}
