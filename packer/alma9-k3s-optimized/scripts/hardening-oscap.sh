#!/usr/bin/env bash
# Security hardening: a baseline that is always applied, and a STUB for OpenSCAP that can be switched on.
#
# How to enable the stub:
#   build with IMAGE_OSCAP=true (the Packer variable oscap), which sets OSCAP=true here. It installs the scanner and
#   AlmaLinux' rules, evaluates the profile OSCAP_PROFILE and prints how many rules passed and failed. It changes nothing.
# How to extend it:
#   - another profile: set OSCAP_PROFILE, one of those that `oscap info CONTENT` lists (cis, stig, ospp …)
#   - let it change the system: add --remediate to the oscap call below. Leave out what k3s cannot live with first, by a
#     tailoring file (--tailoring-file): IP forwarding off, a firewall in the way, noexec on /var, nodev on /tmp
#   - make it binding: let the script fail when a rule you need is not "pass" in the results
set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
source "${HOMELAB_LIB:-$(dirname "${BASH_SOURCE[0]}")/lib.sh}"
begin hardening-oscap

: "${AUTOMATIC_UPDATES:=false}" "${OSCAP:=false}" "${OSCAP_PROFILE:=cis_server_l1}"
require_flag AUTOMATIC_UPDATES OSCAP

# --- baseline ---------------------------------------------------------------------------------------------------------

log "SSH: keys only, no root"
# The first file wins, before those of the distribution and of cloud-init. The running server keeps its settings, so that the
# build stays connected.
write_file /etc/ssh/sshd_config.d/00-homelab.conf 0600 <<'CONF'
PermitRootLogin no
PasswordAuthentication no
KbdInteractiveAuthentication no
X11Forwarding no
MaxAuthTries 4
LoginGraceTime 30
CONF

log "services that nobody needs here"
disable_units kdump.service postfix.service rpcbind.service rpcbind.socket avahi-daemon.service cups.service \
  dnf-makecache.timer mdmonitor.service

log "no core dumps"
write_file /etc/systemd/coredump.conf.d/90-homelab.conf <<'CONF'
[Coredump]
Storage=none
ProcessSizeMax=0
CONF

write_file /etc/sysctl.d/80-homelab-hardening.conf <<'CONF'
fs.suid_dumpable = 0
kernel.dmesg_restrict = 1
kernel.kptr_restrict = 2
net.ipv4.conf.all.accept_redirects = 0
net.ipv4.conf.all.send_redirects = 0
net.ipv6.conf.all.accept_redirects = 0
CONF

# Logs stay small on a disk that containers need.
write_file /etc/systemd/journald.conf.d/90-homelab.conf <<'CONF'
[Journal]
SystemMaxUse=200M
CONF

if [[ ${AUTOMATIC_UPDATES} == true ]]; then
  log "security updates install themselves"
  install_packages dnf-automatic
  # A node is restarted by whoever drains it first.
  write_file /etc/dnf/automatic.conf <<'CONF'
[commands]
upgrade_type = security
random_sleep = 3600
download_updates = yes
apply_updates = yes
reboot = never

[emitters]
emit_via = stdio
CONF
  systemctl enable dnf-automatic.timer
else
  disable_units dnf-automatic.timer
fi

# --- OpenSCAP (stub) --------------------------------------------------------------------------------------------------

if [[ ${OSCAP} != true ]]; then
  log "OpenSCAP is off; the header of hardening-oscap.sh says how to enable it"
  exit 0
fi

log "OpenSCAP: evaluating profile ${OSCAP_PROFILE}"
install_packages openscap-scanner scap-security-guide
results=${RUN}/oscap-results.xml
status=0
oscap xccdf eval --profile "${OSCAP_PROFILE}" --results "${results}" \
  /usr/share/xml/scap/ssg/content/ssg-almalinux9-ds.xml || status=$?
# 2 means that rules failed, which is what it is run for.
((status == 0 || status == 2)) || fail "oscap failed with exit code ${status}"
log "OpenSCAP: $(grep -c '<result>pass</result>' "${results}" || true) rules passed," \
  "$(grep -c '<result>fail</result>' "${results}" || true) failed"
rm -f "${results}"
