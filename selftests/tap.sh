# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# TAP for shell tests, on the build machine and in a test host. To be sourced.
# A test calls tap_ok, tap_skip and at the end tap_end.

tap_n=0
tap_failed=0

tap_begin()
{
	echo "TAP version 13"
}

# tap_ok DESCRIPTION COMMAND...: the command must succeed. What it prints is
# shown when it does not.
tap_ok()
{
	tap_what=$1
	shift
	tap_n=$((tap_n + 1))
	if tap_out=$("$@" 2>&1); then
		echo "ok $tap_n $tap_what"
	else
		tap_rc=$?
		echo "not ok $tap_n $tap_what"
		echo "# status $tap_rc: $*"
		echo "$tap_out" | tail -n 15 | sed 's/^/# /'
		tap_failed=$((tap_failed + 1))
	fi
}

# tap_fails DESCRIPTION PATTERN COMMAND...: the command must fail, and say
# something that matches PATTERN (grep -E).
tap_fails()
{
	tap_what=$1
	tap_pattern=$2
	shift 2
	tap_n=$((tap_n + 1))
	if tap_out=$("$@" 2>&1); then
		echo "not ok $tap_n $tap_what"
		echo "# succeeded, but should not: $*"
	elif echo "$tap_out" | grep -qE "$tap_pattern"; then
		echo "ok $tap_n $tap_what"
		return 0
	else
		echo "not ok $tap_n $tap_what"
		echo "# failed, but said nothing of '$tap_pattern': $*"
	fi
	echo "$tap_out" | tail -n 15 | sed 's/^/# /'
	tap_failed=$((tap_failed + 1))
}

tap_skip()
{
	tap_n=$((tap_n + 1))
	echo "ok $tap_n # SKIP $1"
}

tap_end()
{
	echo "1..$tap_n"
	[ "$tap_failed" -eq 0 ]
}
