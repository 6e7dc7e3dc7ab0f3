# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# Tests that run once more on the kernel of another series. To be sourced.

# on_series SERIES TEST...: the tests, with SERIES' modules and host. All of it is
# "make check KVER=SERIES"; where that is what runs, or SERIES is the distribution's own,
# there is nothing left to do.
on_series()
{
	local series=$1 test rc=0
	shift

	if [ -e "${KVM_RELAY_BUILD:-$top/build}/../build-$series/kvm-core.ko" ] &&
		[ "$(basename "${KVM_RELAY_BUILD:-build}")" != "build-$series" ]; then
		local -x KVM_RELAY_KVER=$series KVM_RELAY_BUILD=$top/build-$series
		for test; do
			"$top/selftests/tests/$test" || rc=1
		done
	else
		echo "TAP version 13"
		echo "ok 1 # SKIP build-$series is not there, or what is tested"
	fi
	return $rc
}
