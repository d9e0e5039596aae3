#!/usr/bin/env bats
# shellcheck disable=SC2016 # stand-ins expand their own variables
load support

# A system as the build leaves it: with an identity, the build's credentials and its traces.
built_system() (
  cd "$HOMELAB_ROOT" || exit
  mkdir -p etc/ssh/sshd_config.d etc/NetworkManager/system-connections etc/udev/rules.d root/.ssh home/admin/.ssh \
    var/lib/{cloud/instances/i-1,dbus,systemd/coredump,NetworkManager,dnf} var/log/{anaconda,journal/abc,homelab-build} \
    var/{cache/dnf/repo,tmp/x,crash} tmp/.hidden
  echo 0123456789abcdef0123456789abcdef | tee etc/machine-id var/lib/dbus/machine-id >/dev/null
  echo image-build >etc/hostname
  for type in rsa ecdsa ed25519; do echo "$type" | tee "etc/ssh/ssh_host_${type}_key" "etc/ssh/ssh_host_${type}_key.pub" >/dev/null; done
  echo "PermitRootLogin yes" >etc/ssh/sshd_config.d/01-permitrootlogin.conf
  echo "PermitRootLogin no" >etc/ssh/sshd_config.d/00-homelab.conf
  printf 'root:$6$salt$THEHASH:19000:0:99999:7:::\nbin:*:19000::::::\n' | tee etc/shadow etc/shadow- >/dev/null
  for file in root/anaconda-ks.cfg root/ks-post.log var/log/anaconda/ks.cfg; do echo "rootpw THEPASSWORD" >"$file"; done
  echo key | tee root/.ssh/authorized_keys home/admin/.ssh/authorized_keys >/dev/null
  echo "echo THEPASSWORD" >root/.bash_history
  echo connection >etc/NetworkManager/system-connections/eth0.nmconnection
  echo rule >etc/udev/rules.d/70-persistent-net.rules
  echo seed | tee var/lib/systemd/random-seed var/lib/systemd/credential.secret >/dev/null
  ln -s instances/i-1 var/lib/cloud/instance
  for file in var/log/messages var/log/messages-20260101 var/log/boot.log.1 var/log/x.gz var/log/journal/abc/system.journal \
    var/log/homelab-build/os-update.log var/cache/dnf/repo/x var/tmp/x/y tmp/script_1.sh tmp/.hidden/z var/crash/vmcore \
    var/lib/systemd/coredump/core.zst core.17; do echo THEPASSWORD >"$file"; done
)

gone() { # PATH…
  local path
  for path in "$@"; do
    [[ ! -e $HOMELAB_ROOT/$path && ! -L $HOMELAB_ROOT/$path ]] || {
      echo "still there: $path"
      return 1
    }
  done
}

@test "cleanup: takes the machine's identity away" {
  built_system
  script cleanup
  succeeded
  [[ -e $HOMELAB_ROOT/etc/machine-id && ! -s $HOMELAB_ROOT/etc/machine-id ]]
  gone etc/hostname var/lib/dbus/machine-id var/lib/systemd/random-seed var/lib/systemd/credential.secret \
    etc/udev/rules.d/70-persistent-net.rules
  [[ -z $(find "$HOMELAB_ROOT/etc/ssh" -name 'ssh_host_*') ]]
  called '^cloud-init clean'
  called '^systemctl stop systemd-random-seed.service'
  gone var/lib/cloud/instance var/lib/cloud/instances
}

@test "cleanup: no secret of the build is left anywhere" {
  built_system
  script cleanup
  succeeded
  run grep -rE 'THEHASH|THEPASSWORD' "$HOMELAB_ROOT"
  [[ -z $output ]]
  gone root/.ssh home/admin/.ssh root/anaconda-ks.cfg etc/shadow- etc/ssh/sshd_config.d/01-permitrootlogin.conf
}

@test "cleanup: locks root, and leaves other accounts and the hardening alone" {
  built_system
  script cleanup
  [[ $(<"$HOMELAB_ROOT/etc/shadow") == $'root:!!:19000:0:99999:7:::\nbin:*:19000::::::' ]]
  [[ -e $HOMELAB_ROOT/etc/ssh/sshd_config.d/00-homelab.conf ]]
}

@test "cleanup: ends the build when root cannot be locked" {
  built_system
  echo 'bin:*:19000::::::' >"$HOMELAB_ROOT/etc/shadow"
  script cleanup
  failed
  printed "root is not locked"
}

@test "cleanup: empties logs, caches, temporary folders and network connections" {
  built_system
  script cleanup
  for folder in tmp var/tmp var/cache/dnf var/log/journal var/crash etc/NetworkManager/system-connections; do
    [[ -d $HOMELAB_ROOT/$folder && -z $(ls -A "$HOMELAB_ROOT/$folder") ]] || { echo "not empty: $folder"; return 1; }
  done
  gone var/log/anaconda var/log/homelab-build var/log/messages-20260101 var/log/boot.log.1 var/log/x.gz core.17
  [[ -e $HOMELAB_ROOT/var/log/messages && ! -s $HOMELAB_ROOT/var/log/messages ]]
}

@test "cleanup: removes all kernels but the newest, the running one included" {
  built_system
  stand_in rpm 'printf "%s\n" 5.14.0-503.el9.x86_64 5.14.0-70.el9.x86_64 5.14.0-427.el9.x86_64'
  script cleanup
  succeeded
  called '^dnf .*protect_running_kernel=False remove kernel\*-5.14.0-70.el9.x86_64$'
  called '^dnf .* remove kernel\*-5.14.0-427.el9.x86_64$'
  not_called 'remove .*-503'
}

@test "cleanup: removes no kernel when there is one" {
  built_system
  script cleanup
  not_called '^dnf .* remove'
}

@test "cleanup: trims and zero-fills what is mounted, and leaves no zeros behind" {
  built_system
  mkdir -p "$HOMELAB_ROOT/boot/efi"
  stand_in mountpoint '[[ $2 != */efi ]]'
  stand_in dd 'for each in "$@"; do [[ $each != of=* ]] || echo zeros >"${each#of=}"; done; exit 1'
  script cleanup
  succeeded
  [[ $(count '^dd ') -eq 2 && $(count '^fstrim ') -eq 4 ]]
  gone .zero boot/.zero
}

@test "cleanup: ZERO_FILL=false only trims" {
  built_system
  stand_in mountpoint ''
  ZERO_FILL=false script cleanup
  succeeded
  not_called '^dd '
  called '^fstrim '
}

@test "cleanup: fills no disk whose root is not mounted there" {
  built_system
  script cleanup
  not_called '^(dd|fstrim) '
}

@test "cleanup: a second run finds nothing more to do" {
  built_system
  script cleanup
  before=$(snapshot)
  script cleanup
  succeeded
  [[ $(snapshot) == "$before" ]]
}
