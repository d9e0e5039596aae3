#!/usr/bin/env bats
load support

@test "os-update: updates, then installs the base packages without weak dependencies" {
  script os-update
  succeeded
  called '^dnf -y --refresh --setopt=install_weak_deps=False upgrade$'
  called '^dnf -y --setopt=install_weak_deps=False install .*container-selinux'
  [[ $(grep -n upgrade "$CALLS" | cut -d : -f 1) -lt $(grep -n ' install ' "$CALLS" | cut -d : -f 1) ]]
}

@test "os-update: tries again when a mirror fails" {
  fails_first dnf 2
  script os-update
  succeeded
  [[ $(count '^dnf .* upgrade$') -eq 3 ]]
}

@test "os-update: ends the build when the update fails for good" {
  stand_in dnf 'echo "No route to host"; exit 1'
  script os-update
  failed
  printed "No route to host"
  printed "os-update: failed"
  not_called ' install '
}

@test "os-update: makes an initramfs for any machine, and the newest kernel the default" {
  script os-update
  called '^dracut --force --regenerate-all'
  grep -q 'hostonly="no"' "$HOMELAB_ROOT/etc/dracut.conf.d/50-homelab.conf"
  grep -q '^DEFAULTKERNEL=kernel$' "$HOMELAB_ROOT/etc/sysconfig/kernel"
  [[ $(readlink "$HOMELAB_ROOT/etc/localtime") == */UTC ]]
}

@test "os-update: a second run changes nothing" {
  script os-update
  before=$(snapshot)
  script os-update
  succeeded
  [[ $(snapshot) == "$before" ]]
}
