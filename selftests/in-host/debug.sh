# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# What kmemleak and lockdep of a debug host have seen. To be sourced.

leaks=/sys/kernel/debug/kmemleak

# kmemleak believes in a leak when it is five seconds old and two scans agree.
leaked() {
	for _ in 1 2; do
		sleep 6
		echo scan >$leaks || return 1
	done
	cat $leaks
}

# lockdep turns itself off at its first report, and when its tables are full.
watching() {
	grep -qE '^ *debug_locks: +1$' /proc/lockdep_stats && ! dmesg | grep -E 'BUG: MAX_|kmemleak disabled'
}

no_leak() {
	leaked >/tmp/leaks
	! grep . /tmp/leaks
}
