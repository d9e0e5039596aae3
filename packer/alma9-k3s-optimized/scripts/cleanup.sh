#!/usr/bin/env bash
# Takes away what must not be in a template: what identifies this machine, what let the build in, what it left behind. Each
# clone makes its own identity on its first boot. ZERO_FILL=false leaves free space as it is.
set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
source "${HOMELAB_LIB:-$(dirname "${BASH_SOURCE[0]}")/lib.sh}"
# Its log stays off the disk: logs are among what it removes.
begin cleanup "${RUN}"

: "${ZERO_FILL:=true}"
require_flag ZERO_FILL

empty() ( # FOLDER…: what is in it, not the folder itself
  shopt -s dotglob nullglob
  for folder in "$@"; do
    rm -rf "${ROOT}${folder:?}"/*
  done
)

remove() { # PATH…: patterns are allowed
  local pattern
  for pattern in "$@"; do
    # shellcheck disable=SC2086 # the pattern is to be expanded; none of ours holds a space
    rm -rf "${ROOT}"${pattern}
  done
}

wipe() { # PATH…: like remove, and overwritten first: a file system keeps some free blocks to itself, which no zeros reach
  local pattern path
  for pattern in "$@"; do
    # shellcheck disable=SC2086 # as in remove
    for path in "${ROOT}"${pattern}; do
      [[ ! -e ${path} ]] || find "${path}" -type f -exec shred -f -u -n 1 {} +
    done
  done
  remove "$@"
}

log "old kernels and package caches"
kernels=$(rpm -q --queryformat '%{VERSION}-%{RELEASE}.%{ARCH}\n' kernel-core | sort -V)
mapfile -t old <<<"${kernels}"
unset 'old[-1]' # the newest
for kernel in "${old[@]}"; do
  # dnf keeps the running kernel, which is old when the update brought another one.
  dnf -y --setopt=protect_running_kernel=False remove "kernel*-${kernel}"
done
dnf clean all
remove '/var/cache/dnf/*' '/var/lib/dnf/history*' '/var/lib/rpm/__db*'

log "machine identity"
# It saves a new seed when it is stopped: now, not when the machine is switched off. Where it does not run it saves none.
systemctl stop systemd-random-seed.service || true
wipe '/etc/ssh/ssh_host_*' /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
remove /var/lib/dbus/machine-id /etc/hostname '/etc/udev/rules.d/70-persistent-*.rules' \
  /etc/lvm/devices/system.devices /etc/iscsi/initiatorname.iscsi
# Empty, not absent: systemd makes a new one, and does not take the boot for the very first of a system.
: >"${ROOT}/etc/machine-id"
cloud-init clean --logs --seed
empty /var/lib/cloud

log "network"
empty /etc/NetworkManager/system-connections /var/lib/NetworkManager /var/lib/dhclient
remove '/etc/sysconfig/network-scripts/ifcfg-*'

log "build credentials"
wipe '/root/.ssh' '/home/*/.ssh' /root/anaconda-ks.cfg /root/original-ks.cfg /var/log/anaconda /etc/shadow-
remove /etc/ssh/sshd_config.d/01-permitrootlogin.conf /etc/passwd- /etc/gshadow- /etc/group-
# `passwd -l` would leave the hash of the build's password behind its mark.
sed -i 's/^root:[^:]*:/root:!!:/' "${ROOT}/etc/shadow"
grep -q '^root:!!:' "${ROOT}/etc/shadow" || fail "root is not locked"
restorecon "${ROOT}/etc/shadow"

log "leftovers of the installer and the build"
remove /root/ks-post.log '/root/.*_history' '/root/.lesshst' '/home/*/.*_history' \
  /var/log/homelab-build '/var/crash/*' '/var/lib/systemd/coredump/*' '/var/spool/mail/*' \
  '/core' '/core.*'
empty /tmp /var/tmp

log "logs"
remove '/var/log/*.gz' '/var/log/*.old' '/var/log/*.[0-9]' '/var/log/*-[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]'
empty /var/log/journal /var/log/audit
[[ ! -d ${ROOT}/var/log ]] || find "${ROOT}/var/log" -type f -exec truncate -s 0 {} +

# In this order: fstrim frees what is thin already, the zeros make the rest compress, and are freed themselves.
log "free space"
sync
for mount in / /boot /boot/efi; do
  # A folder that stands for a mount point is somebody's disk: it is not filled.
  mountpoint -q "${ROOT}${mount}" || continue
  fstrim -v "${ROOT}${mount}" || log "${mount} does not take fstrim"
  [[ ${ZERO_FILL} == true ]] || continue
  # It ends when the disk is full, as it should.
  dd if=/dev/zero of="${ROOT}${mount}/.zero" bs=1M || true
  # Zeros that are still in memory when their file goes never reach the disk, and what was deleted stays readable there.
  sync
  rm -f "${ROOT}${mount}/.zero"
  sync
  fstrim -v "${ROOT}${mount}" || true
done
