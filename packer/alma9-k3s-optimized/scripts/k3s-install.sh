#!/usr/bin/env bash
# k3s server, ready to start on the first boot of a clone, and never started here: a k3s that has run would leave its token,
# its CA and its node's password in every clone.
#
# K3S_VERSION       release, such as v1.35.6+k3s1
# IMAGE_ARCH        amd64 or arm64
# K3S_RELEASES_URL  where releases are downloaded from; GitHub when it is not set
set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
source "${HOMELAB_LIB:-$(dirname "${BASH_SOURCE[0]}")/lib.sh}"
begin k3s-install

: "${K3S_VERSION:=}" "${IMAGE_ARCH:=}"
require K3S_VERSION IMAGE_ARCH
[[ ${K3S_VERSION} =~ ^v[0-9]+\.[0-9]+\.[0-9]+\+k3s[0-9]+$ ]] ||
  fail "K3S_VERSION \"${K3S_VERSION}\" is no release in the form vMAJOR.MINOR.PATCH+k3sREVISION"
case ${IMAGE_ARCH} in
amd64) program=k3s ;;
arm64) program=k3s-arm64 ;;
*) fail "there is no k3s for \"${IMAGE_ARCH}\": IMAGE_ARCH must be amd64 or arm64" ;;
esac

checksums=sha256sum-${IMAGE_ARCH}.txt
images=k3s-airgap-images-${IMAGE_ARCH}.tar.zst
# The plus sign of a tag means a space to some servers.
release=${K3S_RELEASES_URL:-https://github.com/k3s-io/k3s/releases/download}/${K3S_VERSION/+/%2B}
bin=${ROOT}/usr/local/bin
images_dir=${ROOT}/var/lib/rancher/k3s/agent/images
downloads=${ROOT}/var/tmp/homelab-k3s
ON_EXIT=remove_downloads
remove_downloads() { rm -rf "${downloads}"; }

download() { # NAME
  retry curl --fail --silent --show-error --location --connect-timeout 20 --output "${downloads}/$1" "${release}/$1"
}

published_checksum() { # NAME
  local found
  found=$(awk -v name="$1" '$2 == name || $2 == "*" name { print $1 }' "${downloads}/${checksums}")
  [[ ${found} =~ ^[0-9a-f]{64}$ ]] || fail "${checksums} of ${K3S_VERSION} has no checksum of $1"
  printf '%s' "${found}"
}

checksum() { # FILE
  sha256sum "$1" | cut -d ' ' -f 1
}

# fetch NAME TARGET MODE: download and verify, unless the very file is there already
fetch() {
  local expected actual
  expected=$(published_checksum "$1")
  actual=$([[ ! -f $2 ]] || checksum "$2")
  if [[ ${actual} == "${expected}" ]]; then
    log "$1 is there already"
    return
  fi
  log "downloading $1"
  download "$1"
  actual=$(checksum "${downloads}/$1")
  [[ ${actual} == "${expected}" ]] || fail "the checksum of ${release}/$1 is ${actual}, its release says ${expected}"
  chmod "$3" "${downloads}/$1"
  mv -f "${downloads}/$1" "$2"
}

rm -rf "${downloads}"
mkdir -p "${downloads}" "${bin}" "${images_dir}"

log "k3s ${K3S_VERSION} for ${IMAGE_ARCH}"
download "${checksums}"
fetch "${program}" "${bin}/k3s" 0755
# All images k3s starts with: a first boot downloads nothing.
fetch "${images}" "${images_dir}/${images}" 0644

"${bin}/k3s" --version | grep -qF "k3s version ${K3S_VERSION} " || fail "${bin}/k3s does not run, or is another version"
for name in kubectl crictl ctr; do
  ln -sfn k3s "${bin}/${name}"
done

log "SELinux policy"
write_file /etc/yum.repos.d/rancher-k3s-common.repo <<'CONF'
[rancher-k3s-common-stable]
name=Rancher K3s Common (stable)
baseurl=https://rpm.rancher.io/k3s/stable/common/centos/9/noarch
enabled=1
gpgcheck=1
repo_gpgcheck=0
gpgkey=https://rpm.rancher.io/public.key
CONF
install_packages container-selinux k3s-selinux

log "configuration and service"
# More goes into config.yaml.d/ (cloud-init's write_files); lists there replace these unless their key ends in "+".
write_file /etc/rancher/k3s/config.yaml 0600 <<'CONF'
disable:
  - traefik
kubelet-arg:
  - cgroup-driver=systemd
selinux: true
write-kubeconfig-mode: "0600"
CONF

write_file /etc/modules-load.d/k3s.conf <<'CONF'
br_netfilter
overlay
CONF
write_file /etc/sysctl.d/90-k3s.conf <<'CONF'
net.bridge.bridge-nf-call-ip6tables = 1
net.bridge.bridge-nf-call-iptables = 1
net.ipv4.ip_forward = 1
net.ipv6.conf.all.forwarding = 1
# What the kubelet wants of the kernel.
kernel.panic = 10
kernel.panic_on_oops = 1
vm.overcommit_memory = 1
vm.panic_on_oom = 0
# Every container watches files; the defaults are for one desktop.
fs.inotify.max_user_instances = 8192
fs.inotify.max_user_watches = 524288
CONF

# NetworkManager leaves the interfaces of the pods alone.
write_file /etc/NetworkManager/conf.d/90-k3s.conf <<'CONF'
[keyfile]
unmanaged-devices=interface-name:cni*;interface-name:flannel*;interface-name:veth*
CONF
# Between nodes k3s needs 6443, 8472/udp and 10250; nm-cloud-setup changes the routes that flannel relies on.
disable_units firewalld.service nm-cloud-setup.service nm-cloud-setup.timer

write_file /etc/systemd/system/k3s.service <<'CONF'
[Unit]
Description=Lightweight Kubernetes
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
EnvironmentFile=-/etc/default/k3s
EnvironmentFile=-/etc/sysconfig/k3s
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStart=/usr/local/bin/k3s server
KillMode=process
Delegate=yes
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
Restart=always
RestartSec=5s

[Install]
WantedBy=multi-user.target
CONF
# Before cloud-init is through, the node would register under the builder's hostname and without its configuration.
write_file /etc/systemd/system/k3s.service.d/10-after-cloud-init.conf <<'CONF'
[Unit]
After=cloud-init-local.service cloud-init.service cloud-config.service cloud-final.service
CONF

systemctl daemon-reload
systemctl enable k3s.service
# Files moved here from /var/tmp keep its label.
restorecon -R "${bin}" "${ROOT}/etc/rancher" "${ROOT}/var/lib/rancher"

[[ ! -e ${ROOT}/var/lib/rancher/k3s/server && ! -e ${ROOT}/etc/rancher/node ]] || fail "k3s has been started in this image"
