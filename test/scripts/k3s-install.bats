#!/usr/bin/env bats
# shellcheck disable=SC2016 # stand-ins expand their own variables
load support

VERSION=v1.35.6+k3s1

# A release as GitHub has it, in a folder; curl takes the files from there.
release() { # ARCH PROGRAM
  RELEASE=$BATS_TEST_TMPDIR/releases/v1.35.6%2Bk3s1
  mkdir -p "$RELEASE"
  printf '#!/bin/sh\necho "k3s version %s (abcdef)"\n' "$VERSION" >"$RELEASE/$2"
  echo images >"$RELEASE/k3s-airgap-images-$1.tar.zst"
  (cd "$RELEASE" && sha256sum "$2" "k3s-airgap-images-$1.tar.zst" >"sha256sum-$1.txt")
  export K3S_RELEASES_URL=$BATS_TEST_TMPDIR/releases K3S_VERSION=$VERSION IMAGE_ARCH=$1
  stand_in curl 'while (($# > 0)); do case $1 in --output) out=$2; shift ;; --connect-timeout) shift ;; -*) ;; *) url=$1 ;; esac; shift; done
[[ -f $url ]] || exit 22
cp "$url" "$out"'
}

bin() { printf '%s' "$HOMELAB_ROOT/usr/local/bin"; }
images() { printf '%s' "$HOMELAB_ROOT/var/lib/rancher/k3s/agent/images"; }

@test "k3s-install: puts the verified program, its names and its images in place" {
  release amd64 k3s
  script k3s-install
  succeeded
  [[ $(stat -c %a "$(bin)/k3s") == 755 ]]
  for name in kubectl crictl ctr; do [[ $(readlink "$(bin)/$name") == k3s ]]; done
  [[ -s $(images)/k3s-airgap-images-amd64.tar.zst ]]
  [[ ! -e $HOMELAB_ROOT/var/tmp/homelab-k3s ]]
}

@test "k3s-install: takes the arm64 program under its own name" {
  release arm64 k3s-arm64
  script k3s-install
  succeeded
  called 'v1.35.6%2Bk3s1/k3s-arm64$'
  [[ -x $(bin)/k3s && -s $(images)/k3s-airgap-images-arm64.tar.zst ]]
}

for_each_setting() { # its name
  release amd64 k3s
  unset "$1"
  script k3s-install
  failed
  printed "$1 is not set"
}

@test "k3s-install: needs K3S_VERSION" { for_each_setting K3S_VERSION; }
@test "k3s-install: needs IMAGE_ARCH" { for_each_setting IMAGE_ARCH; }

@test "k3s-install: refuses what is no release, before anything is downloaded" {
  release amd64 k3s
  for wrong in latest v1.35 1.35.6+k3s1 v1.35.6 'v1.35.6+k3s1; id' v1.35.6+rke2r1; do
    K3S_VERSION=$wrong script k3s-install
    failed
    printed "is no release in the form"
  done
  not_called '^curl'
}

@test "k3s-install: refuses an architecture k3s has no release for" {
  release amd64 k3s
  IMAGE_ARCH=riscv64 script k3s-install
  failed
  printed 'there is no k3s for "riscv64"'
}

@test "k3s-install: refuses a program that is not the released one, with both checksums" {
  release amd64 k3s
  echo tampered >>"$RELEASE/k3s"
  script k3s-install
  failed
  printed "$(sha256sum "$RELEASE/k3s" | cut -d ' ' -f 1)"
  printed "$(grep ' k3s$' "$RELEASE/sha256sum-amd64.txt" | cut -d ' ' -f 1)"
  [[ ! -e $(bin)/k3s && ! -e $HOMELAB_ROOT/var/tmp/homelab-k3s ]]
}

@test "k3s-install: refuses images that are not the released ones" {
  release amd64 k3s
  echo tampered >>"$RELEASE/k3s-airgap-images-amd64.tar.zst"
  script k3s-install
  failed
  [[ ! -e $(images)/k3s-airgap-images-amd64.tar.zst ]]
}

@test "k3s-install: refuses a release without a checksum of the program" {
  release amd64 k3s
  sed -i '/ k3s$/d' "$RELEASE/sha256sum-amd64.txt"
  script k3s-install
  failed
  printed "has no checksum of k3s"
}

@test "k3s-install: refuses a program that says it is another version" {
  release amd64 k3s
  printf '#!/bin/sh\necho "k3s version v1.35.6+k3s10 (x)"\n' >"$RELEASE/k3s"
  (cd "$RELEASE" && sha256sum k3s k3s-airgap-images-amd64.tar.zst >sha256sum-amd64.txt)
  script k3s-install
  failed
  printed "is another version"
  not_called '^systemctl enable'
}

@test "k3s-install: tries a download again, and ends the build when it fails for good" {
  release amd64 k3s
  rm "$RELEASE/k3s"
  script k3s-install
  failed
  [[ $(count 'v1.35.6%2Bk3s1/k3s$') -eq 3 ]]
}

@test "k3s-install: enables the service after cloud-init, and never starts it" {
  release amd64 k3s
  script k3s-install
  called '^systemctl enable k3s.service$'
  not_called '^systemctl (start|restart)|--now'
  grep -q 'After=.*cloud-final.service' "$HOMELAB_ROOT/etc/systemd/system/k3s.service.d/10-after-cloud-init.conf"
  grep -q '^  - traefik$' "$HOMELAB_ROOT/etc/rancher/k3s/config.yaml"
  grep -q 'cgroup-driver=systemd' "$HOMELAB_ROOT/etc/rancher/k3s/config.yaml"
  [[ $(stat -c %a "$HOMELAB_ROOT/etc/rancher/k3s/config.yaml") == 600 ]]
  called '^dnf .* install container-selinux k3s-selinux'
}

@test "k3s-install: turns the firewall off where there is one" {
  release amd64 k3s
  stand_in systemctl '[[ $* != "cat nm-cloud-setup"* ]]'
  script k3s-install
  succeeded
  called '^systemctl disable firewalld.service'
  not_called '^systemctl disable nm-cloud-setup'
}

@test "k3s-install: ends the build when k3s has run in the image" {
  release amd64 k3s
  mkdir -p "$HOMELAB_ROOT/var/lib/rancher/k3s/server/tls"
  script k3s-install
  failed
  printed "k3s has been started"
}

@test "k3s-install: a second run downloads nothing but the checksums, and changes nothing" {
  release amd64 k3s
  script k3s-install
  before=$(snapshot)
  : >"$CALLS"
  script k3s-install
  succeeded
  [[ $(snapshot) == "$before" ]]
  [[ $(count '^curl') -eq 1 ]]
}
