import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../../../lib/process.ts";
import { type Kernel, systemProgram } from "./debian.ts";
import { inLoadingOrder } from "./modules.ts";

const GUEST = fileURLToPath(new URL("guest", import.meta.url));
const STAND_INS = "usr/lib/stand-ins";

/** Real programs of the installed system, from this machine's Debian: what AlmaLinux has under the same names. */
const PROGRAMS = words(`
  bash sh awk sed grep egrep find xargs tar gzip gunzip xz curl which diff cmp
  arch base64 basename cat chgrp chmod chown chroot cp cut date dd df dirname du echo env expr false fold head hostid id install
  join ln ls md5sum mkdir mkfifo mknod mktemp mv nl nproc od paste printf pwd readlink realpath rm rmdir seq sha256sum
  sha512sum shred shuf sleep sort split stat stdbuf stty sync tac tail tee test timeout touch tr true truncate tty uniq
  unlink wc whoami yes [ nohup
  blkid dmesg findmnt flock fstrim getopt lsblk mount mountpoint umount setsid blkdiscard logger lscpu
  mke2fs parted
  sshd ssh-keygen scp uname sysctl ps pgrep pkill kill
`);

/** What is played in place of AlmaLinux's own programs; see guest/stand-in. */
const PLAYED = words(`
  dnf yum microdnf rpm systemctl passwd usermod cloud-init grubby dracut tuned-adm hostnamectl timedatectl localectl
  journalctl fstrim semanage restorecon setenforce getenforce sestatus setsebool fixfiles load_policy selinuxenabled
  firewall-cmd shutdown poweroff halt reboot uname update-crypto-policies systemd-tmpfiles systemd-firstboot modprobe
  lsmod udevadm ls lsblk findmnt lsinitrd grub2-mkconfig grub2-install grub2-set-default grub2-editenv kdumpctl authselect sysctl chage loginctl nmcli
  package-cleanup subscription-manager update-ca-trust mokutil oscap swapoff depmod visudo
`);

const CONFIGURATION: Readonly<Record<string, string>> = {
  "etc/passwd": [
    "root:x:0:0:root:/root:/bin/bash",
    "bin:x:1:1:bin:/bin:/sbin/nologin",
    "sshd:x:74:74:Privilege-separated SSH:/usr/share/empty.sshd:/sbin/nologin",
    "chrony:x:997:995:chrony:/var/lib/chrony:/sbin/nologin",
    "nobody:x:65534:65534:Kernel Overflow User:/:/sbin/nologin",
    "",
  ].join("\n"),
  "etc/group": "root:x:0:\nbin:x:1:\nwheel:x:10:\nsystemd-journal:x:190:\nsshd:x:74:\nnobody:x:65534:\n",
  "etc/shadow":
    "root:!!:19700:0:99999:7:::\nbin:*:19700:0:99999:7:::\nsshd:!!:19700::::::\nnobody:*:19700:0:99999:7:::\n",
  "etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n",
  "etc/hosts": "127.0.0.1 localhost\n",
  "etc/hostname": "localhost.localdomain\n",
  "etc/resolv.conf": "",
  "etc/profile": "export PATH=/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin\n",
  "etc/redhat-release": "AlmaLinux release 9.5 (Teal Serval)\n",
  "etc/almalinux-release": "AlmaLinux release 9.5 (Teal Serval)\n",
  "etc/os-release": [
    'NAME="AlmaLinux"',
    'VERSION="9.5 (Teal Serval)"',
    'ID="almalinux"',
    'ID_LIKE="rhel centos fedora"',
    'VERSION_ID="9.5"',
    'PLATFORM_ID="platform:el9"',
    'PRETTY_NAME="AlmaLinux 9.5 (Teal Serval)"',
    "",
  ].join("\n"),
  "etc/selinux/config": "SELINUX=enforcing\nSELINUXTYPE=targeted\n",
  "etc/sysconfig/kernel": "UPDATEDEFAULT=yes\nDEFAULTKERNEL=kernel-core\n",
  "etc/login.defs": "UMASK 022\nPASS_MAX_DAYS 99999\n",
  "etc/dnf/dnf.conf":
    "[main]\ngpgcheck=1\ninstallonly_limit=3\nclean_requirements_on_remove=True\nbest=True\n",
  "etc/dnf/automatic.conf":
    "[commands]\nupgrade_type = default\napply_updates = no\n[emitters]\nemit_via = stdio\n",
  "etc/systemd/journald.conf": "[Journal]\n#SystemMaxUse=\n",
  "etc/cloud/cloud.cfg": "users:\n  - default\ndisable_root: true\n",
  // As EL 9 ships it: what lies in the folder comes first and wins; root gets in by password only where the installer allowed it.
  "etc/ssh/sshd_config": [
    "Include /etc/ssh/sshd_config.d/*.conf",
    "AuthorizedKeysFile .ssh/authorized_keys",
    "Subsystem sftp /usr/libexec/openssh/sftp-server",
    "UseDNS no",
    // Emulated, the instructions that GCM is computed with take twenty times as long.
    "Ciphers aes128-ctr,aes256-ctr",
    "",
  ].join("\n"),
  "etc/ssh/sshd_config.d/50-redhat.conf": "X11Forwarding yes\nPermitRootLogin prohibit-password\n",
};

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

/**
 * Make the initramfs: the installer, which is at the same time the system it installs.
 * @param installer files that go into /installer, by name
 */
export async function writeInitramfs(
  file: string,
  work: string,
  kernel: Kernel,
  installer: Readonly<Record<string, string>>,
): Promise<void> {
  const root = join(work, "root");
  for (const folder of ["bin", "sbin", "lib", "lib64"]) {
    mkdirSync(join(root, "usr", folder), { recursive: true });
    symlinkSync(`usr/${folder}`, join(root, folder));
  }
  for (const folder of [
    ...[
      "etc/default",
      "root",
      "var/log",
      "var/lib",
      "var/tmp",
      "var/cache",
      "var/spool",
      "mnt",
      "installer/modules",
    ],
    ...[`${STAND_INS}/real`, `${STAND_INS}/state/units`, "usr/libexec/openssh", "usr/share/empty.sshd"],
    ...["usr/local/bin", "usr/local/sbin", "usr/lib/systemd/system", "etc/systemd/system"],
  ]) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  for (const [name, content] of Object.entries(CONFIGURATION)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), content);
  }
  writeFileSync(join(root, STAND_INS, "state/packages"), "");
  chmodSync(join(root, "etc/shadow"), 0o600);
  chmodSync(join(root, "root"), 0o700);
  chmodSync(join(root, "var/tmp"), 0o1777);

  await copyPrograms(root);
  for (const name of readdirSync(GUEST)) {
    const target = { init: "init", anaconda: "installer/anaconda" }[name] ?? join(STAND_INS, name);
    copyFileSync(join(GUEST, name), join(root, target));
    chmodSync(join(root, target), 0o755);
  }
  for (const name of PLAYED) {
    const link = join(root, "usr/bin", name);
    if (existsSync(link)) renameSync(link, join(root, STAND_INS, "real", name));
    symlinkSync("../lib/stand-ins/stand-in", link);
  }
  const modules = inLoadingOrder(kernel.modules);
  for (const module of modules) copyFileSync(module, join(root, "installer/modules", basename(module)));
  writeFileSync(
    join(root, "installer/modules/order"),
    modules.map((module) => `${basename(module)}\n`).join(""),
  );
  for (const [name, from] of Object.entries(installer)) copyFileSync(from, join(root, "installer", name));

  // gzip's lowest level: the emulated processor takes longer to unpack than to read.
  await run(
    "bash",
    [
      "-c",
      'set -o pipefail; cd "$1"; find . -print0 | LC_ALL=C sort -z | cpio --null --create --quiet --format=newc --owner=0:0 | gzip -1 >"$2"',
      "pack",
      root,
      file,
    ],
    {},
  );
}

/** The real programs with their libraries, where this machine has them. */
async function copyPrograms(root: string): Promise<void> {
  const busybox = systemProgram("busybox");
  if (busybox === undefined) throw new Error("busybox is missing");
  copyFileSync(realpathSync(busybox), join(root, STAND_INS, "busybox"));
  const sources = new Map<string, string>([
    ["usr/libexec/openssh/sftp-server", "/usr/lib/openssh/sftp-server"],
  ]);
  for (const name of PROGRAMS) {
    const source = systemProgram(name);
    if (source === undefined) continue;
    sources.set(join("usr", name === "sshd" ? "sbin" : "bin", name), realpathSync(source));
  }
  const { stdout } = await run("ldd", [...sources.values()], { allow: [0, 1] });
  for (const [, library = ""] of stdout.matchAll(/(?:=> |^\t)(\/\S+) \(0x/gm)) {
    sources.set(library.replace(/^\/(?:usr\/)?/, "usr/"), realpathSync(library));
  }
  for (const [target, source] of sources) {
    const path = join(root, target);
    mkdirSync(dirname(path), { recursive: true });
    copyFileSync(source, path);
    chmodSync(path, 0o755);
  }
}
