# SPDX-License-Identifier: GPL-2.0-only
#
# A console without those stalls of a CPU that Bochs is the reason of: it takes no interrupt from
# a guest that runs with IF clear (Documentation/test-hosts.rst), and the NMI by which the kernel
# asks where the CPU stands is what brings it out. Then it stands where KVM handles that NMI, and
# nowhere else. Of a stall that has not said yet where, nothing is said; with last=1 it is.
/rcu: INFO: .*detected (expedited )?stalls/ {
	if (held)
		print held
	held = $0
	next
}
held && /RIP: 0010:/ {
	if ($0 !~ /RIP: 0010:vmx_do_interrupt_nmi_irqoff[+]/ && $0 !~ /RIP: 0010:vmx_do_nmi_irqoff[+]/)
		print held
	held = ""
}
{ print }
END { if (held && last) print held }
