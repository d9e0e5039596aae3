#!/usr/bin/env bats
# shellcheck disable=SC2016 # stand-ins expand their own variables
load support

sshd_conf() { printf '%s' "$HOMELAB_ROOT/etc/ssh/sshd_config.d/00-homelab.conf"; }

@test "hardening: lets keys in alone, and root not at all" {
  script hardening-oscap
  succeeded
  for line in "PermitRootLogin no" "PasswordAuthentication no" "KbdInteractiveAuthentication no"; do
    grep -qx "$line" "$(sshd_conf)"
  done
}

@test "hardening: does not restart the SSH server that the build is connected to" {
  script hardening-oscap
  not_called 'sshd|reload|restart'
}

@test "hardening: disables what is installed and not needed, and leaves the rest" {
  stand_in systemctl 'case $* in "cat kdump.service" | disable*) ;; cat*) exit 1 ;; esac'
  script hardening-oscap
  succeeded
  called '^systemctl disable kdump.service'
  not_called '^systemctl disable postfix'
}

@test "hardening: automatic updates are off by default" {
  script hardening-oscap
  not_called '^systemctl enable'
  [[ ! -e $HOMELAB_ROOT/etc/dnf/automatic.conf ]]
}

@test "hardening: automatic updates install security updates, and never restart a node" {
  AUTOMATIC_UPDATES=true script hardening-oscap
  succeeded
  called '^systemctl enable dnf-automatic.timer'
  grep -qx 'upgrade_type = security' "$HOMELAB_ROOT/etc/dnf/automatic.conf"
  grep -qx 'reboot = never' "$HOMELAB_ROOT/etc/dnf/automatic.conf"
}

@test "hardening: the OpenSCAP stub is off by default, and says how to enable it" {
  script hardening-oscap
  printed "OpenSCAP is off"
  not_called '^oscap'
}

@test "hardening: OSCAP=true evaluates, changes nothing, and tells how many rules passed" {
  stand_in oscap 'while (($# > 0)); do [[ $1 != --results ]] || out=$2; shift; done
printf "<result>pass</result>\n<result>pass</result>\n<result>fail</result>\n" >"$out"; exit 2'
  OSCAP=true script hardening-oscap
  succeeded
  printed "2 rules passed, 1 failed"
  not_called 'remediate'
}

@test "hardening: OSCAP=true ends the build when the scanner itself fails" {
  stand_in oscap 'exit 1'
  OSCAP=true script hardening-oscap
  failed
  printed "oscap failed with exit code 1"
}

@test "hardening: a switch that is neither true nor false is refused" {
  for setting in AUTOMATIC_UPDATES=yes OSCAP=1; do
    run env "$setting" bash "$SCRIPTS/hardening-oscap.sh"
    failed
    printed "must be true or false"
  done
}

@test "hardening: a second run changes nothing" {
  script hardening-oscap
  before=$(snapshot)
  script hardening-oscap
  succeeded
  [[ $(snapshot) == "$before" ]]
}
