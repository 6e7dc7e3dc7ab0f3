// SPDX-License-Identifier: GPL-2.0-only
/* vmm-kept: how far the guest's clock goes while its VM stands still. */
#include <errno.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timex.h>
#include <unistd.h>
#include <kselftest.h>
#include "kept.h"
#include "mini.h"
#include "vmm.h"

#define STOP_MS		2000
/*
 * In whatever time it takes, KVM's clock goes by the TSC but for what the host's multiplier is
 * rounded by, which is 0.07 ppm on host amd: that much and more, one part in so many.
 */
#define MOST_NS		1000
#define ROUNDED		4000000
/* As far as NTP goes: 500 ppm, in units of 2^-16. */
#define SLEW		(500 << 16)
#define EXACT		(KVM_CLOCK_TSC_STABLE | KVM_CLOCK_HOST_TSC)

static bool slew(long frequency)
{
	struct timex t = { .modes = ADJ_FREQUENCY, .freq = frequency };

	return adjtimex(&t) >= 0;
}

static void clock_get(struct mini *m, struct kvm_clock_data *c)
{
	memset(c, 0, sizeof(*c));
	mini_ioctl(m, m->fd, KVM_GET_CLOCK, c, "KVM_GET_CLOCK");
}

/* Both clocks are read with one reading of the host's TSC. */
static __s64 ahead(const struct kvm_clock_data *a, const struct kvm_clock_data *b, __u64 khz)
{
	unsigned __int128 cycles = b->host_tsc - a->host_tsc;

	return (__s64)(b->clock - a->clock - (__u64)(cycles * 1000000 / khz));
}

/*
 * The host's time of day goes another way than its TSC meanwhile, and the stop is long: what
 * would go by either of them is off by a millisecond, or by two seconds.
 */
void kept_clock(void)
{
	static const char what[] = "the clock goes as far as the host's in a stop of 2 s";
	struct kvm_clock_data before, after;
	__s64 off, most = 0;
	bool beside = false;
	struct mini m;
	int to, khz;

	mini_begin(&m);
	mini_boot(&m, code_out, sizeof(code_out));
	mini_vcpu(&m, 1);
	mini_run(&m, 0, KVM_EXIT_IO, "first run");
	mini_complete(&m, 0);
	clock_get(&m, &before);
	if (m.ok && (before.flags & EXACT) != EXACT) {
		mini_end(&m);
		kept_skip(what, "the host's clock is no TSC");
		return;
	}
	khz = ioctl(m.vcpu[0], KVM_GET_TSC_KHZ, 0);
	if (khz <= 0 || !slew(SLEW))
		mini_fail(&m, "the host's clocks");
	if (m.ok && !inject_set("move", "stall_ms", STOP_MS))
		mini_fail(&m, "a stop of 2 s");
	for (to = 1; m.ok && to >= 0; to--) {
		clock_get(&m, &before);
		mini_move(&m, to);
		mini_run(&m, 0, KVM_EXIT_IO, "run after a move");
		mini_complete(&m, 0);
		clock_get(&m, &after);
		if (!m.ok)
			break;
		off = ahead(&before, &after, khz);
		most = llabs(off) > llabs(most) ? off : most;
		beside |= llabs(off) > MOST_NS + (__s64)(after.clock - before.clock) / ROUNDED;
		errno = 0;
		if ((after.flags & EXACT) != (before.flags & EXACT))
			mini_fail(&m, "the clock's flags are others");
		else if (after.clock - before.clock < STOP_MS * 1000000ull)
			mini_fail(&m, "the stop was not that long");
	}
	inject_set("move", "stall_ms", 0);
	slew(0);
	if (m.ok && beside) {
		snprintf(m.why, sizeof(m.why), "%lld ns more than the host's", most);
		m.ok = false;
	}
	ksft_print_msg("at most %lld ns beside the host's\n", most);
	kept_end(&m, what);
}

#define MSR_TSC		0x10
#define FIRST_TSC	1000

/*
 * A vCPU's TSC after its VMM has set it for the first time, and to much less than what has
 * passed since it was made: -1 if KVM has taken that for the time of the vCPU's making,
 * which it does within a second.
 */
static int first_tsc(struct mini *m, bool moved)
{
	__u64 value = 0, since;
	int khz;

	mini_begin(m);
	mini_boot(m, code_out, sizeof(code_out));
	khz = ioctl(m->vcpu[0], KVM_GET_TSC_KHZ, 0);
	usleep(200000);
	if (moved)
		mini_move(m, 1);
	since = now_ns();
	if (m->ok && (khz <= 0 || !mini_msr_set(m, MSR_TSC, FIRST_TSC) ||
		      !mini_msr_get(m, MSR_TSC, &value)))
		mini_fail(m, "the TSC");
	/* What has passed since it was set, and half of the sleep. */
	return value > ((now_ns() - since) / 1000 + 100000) * khz / 1000 ? -1 : 0;
}

void kept_first_tsc(void)
{
	static const char what[] = "a VMM's first write of a TSC is taken as it is";
	struct mini m;
	int control;

	control = first_tsc(&m, false);
	if (m.ok && control) {
		mini_end(&m);
		kept_skip(what, "not by this KVM");
		return;
	}
	mini_end(&m);
	if (first_tsc(&m, true) && m.ok) {
		snprintf(m.why, sizeof(m.why), "it is taken for one that is to match");
		m.ok = false;
	}
	kept_end(&m, what);
}
