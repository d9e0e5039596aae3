#!/usr/bin/env bash
# System updates and base packages.
set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
source "${HOMELAB_LIB:-$(dirname "${BASH_SOURCE[0]}")/lib.sh}"
begin os-update

base=(
  ca-certificates
  chrony
  container-selinux # what k3s-selinux builds on
  curl
  iptables-nft      # k3s brings its own, but people look at the rules
  nfs-utils         # volumes on a NAS
  policycoreutils
  tar
  tuned
)

log "updating the system"
# Without what the new versions merely recommend: a kernel recommends all firmware there is.
retry dnf -y --refresh --setopt=install_weak_deps=False upgrade

log "installing base packages"
install_packages "${base[@]}"

# A new kernel boots first, and the initramfs holds the drivers of machines other than this one.
write_file /etc/sysconfig/kernel <<'CONF'
UPDATEDEFAULT=yes
DEFAULTKERNEL=kernel
CONF
write_file /etc/dracut.conf.d/50-homelab.conf <<'CONF'
hostonly="no"
add_drivers+=" virtio_blk virtio_net virtio_pci virtio_scsi "
CONF
dracut --force --regenerate-all

ln -sf ../usr/share/zoneinfo/UTC "${ROOT}/etc/localtime"
systemctl enable chronyd.service

running=$(uname -r)
newest=$(rpm -q --queryformat '%{VERSION}-%{RELEASE}.%{ARCH}\n' kernel-core | sort -V | tail -n 1)
[[ ${running} == "${newest}" ]] || log "kernel ${newest} is installed; cleanup removes ${running}, which runs now"
