# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
#
# What a Linux guest says on its serial console, a file here. To be sourced in a test host.
# Its kernel writes there too, whole lines of its own, in the middle of others: a busy machine
# is enough ("hrtimer: interrupt took").

# said FILE: the lines of its programs, without the kernel's.
said() {
	tr -d '\r' <"$1" | awk '{
		if (match($0, /\[ *[0-9]+\.[0-9]+\] /))
			printf "%s", substr($0, 1, RSTART - 1)
		else
			print
	}'
}

# beat FILE: the number of the last beat of guest-init.
beat() {
	said "$1" | sed -n 's/^beat \([0-9]*\) uptime [0-9.]* gap [0-9-]*$/\1/p' | tail -n 1
}

# beats_past FILE NUMBER
beats_past() {
	n=$(beat "$1")
	[ "${n:-0}" -gt "$2" ]
}

# beats_whole FILE: there are some, none is missing or comes twice, and the clock never went back.
beats_whole() {
	said "$1" | awk '
		/^beat [0-9]+ uptime [0-9.]+ gap [0-9-]+$/ {
			if ($2 != n + 1 || $4 < up) { print "after beat", n, "at", up ":", $0; bad = 1 }
			n = $2
			up = $4
		}
		END { exit bad || n < 3 }' && return
	tr -d '\r' <"$1" | grep -v '^beat [0-9]* uptime [0-9.]* gap [0-9-]*$' | tail -n 20
	return 1
}
