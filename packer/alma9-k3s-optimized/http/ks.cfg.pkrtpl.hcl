# Kickstart of the golden image, rendered by common.pkr.hcl for both builders and both ways to the installer.
# Packages come from AlmaLinux' repositories, not from the ISO: the Minimal ISO has no cloud-init, and nothing is old that way.

text --non-interactive
skipx
eula --agreed
firstboot --disabled
reboot --eject

lang en_US.UTF-8
keyboard us
timezone UTC --utc

%{ if mirror == "" ~}
url --mirrorlist=https://mirrors.almalinux.org/mirrorlist/9/baseos
repo --name=AppStream --mirrorlist=https://mirrors.almalinux.org/mirrorlist/9/appstream
%{ else ~}
url --url=${mirror}/BaseOS/$basearch/os/
repo --name=AppStream --baseurl=${mirror}/AppStream/$basearch/os/
%{ endif ~}

%{ if address == "" ~}
network --bootproto=dhcp --device=link --activate --onboot=yes --noipv6 --hostname=image-build
%{ else ~}
network --bootproto=static --device=link --activate --onboot=yes --noipv6 --hostname=image-build --ip=${address} --netmask=${netmask}%{ if gateway != "" } --gateway=${gateway}%{ endif }%{ if nameserver != "" } --nameserver=${nameserver}%{ endif }

%{ endif ~}
# k3s writes its own rules and needs 6443, 8472/udp and 10250 between nodes.
firewall --disabled
selinux --enforcing
services --disabled=kdump --enabled=chronyd,qemu-guest-agent,sshd,tuned

# For the build alone: cleanup.sh removes it and locks the account.
rootpw --plaintext ${password}

bootloader --timeout=0 --append="console=tty0 console=${serial_console} net.ifnames=0"

# The partitions are made here, in this order, so that root is the last one and growpart can extend it.
%pre --erroronfail
parted --script --align optimal /dev/sda -- mklabel gpt
%{ if arch == "amd64" ~}
# For booting under BIOS: GRUB's core lies there.
parted --script --align optimal /dev/sda -- mkpart biosboot 1MiB 2MiB set 1 bios_grub on
parted --script --align optimal /dev/sda -- mkpart esp fat32 2MiB 258MiB set 2 esp on
parted --script --align optimal /dev/sda -- mkpart boot xfs 258MiB 1282MiB
parted --script --align optimal /dev/sda -- mkpart root xfs 1282MiB 100%
%{ else ~}
parted --script --align optimal /dev/sda -- mkpart esp fat32 1MiB 257MiB set 1 esp on
parted --script --align optimal /dev/sda -- mkpart boot xfs 257MiB 1281MiB
parted --script --align optimal /dev/sda -- mkpart root xfs 1281MiB 100%
%{ endif ~}
udevadm settle
%end

ignoredisk --only-use=sda
clearpart --none
%{ if arch == "amd64" ~}
part biosboot --fstype=biosboot --onpart=sda1
part /boot/efi --fstype=efi --onpart=sda2
part /boot --fstype=xfs --onpart=sda3
part / --fstype=xfs --onpart=sda4
%{ else ~}
part /boot/efi --fstype=efi --onpart=sda1
part /boot --fstype=xfs --onpart=sda2
part / --fstype=xfs --onpart=sda3
%{ endif ~}

%packages --inst-langs=en --exclude-weakdeps
@^minimal-environment
chrony
cloud-init
cloud-utils-growpart
dracut-config-generic
efibootmgr
%{ if arch == "amd64" ~}
grub2-efi-x64
grub2-pc
shim-x64
%{ else ~}
grub2-efi-aa64
shim-aa64
%{ endif ~}
# Packer learns the guest's address from it, so it cannot wait for a script.
qemu-guest-agent
tar
tuned
-dracut-config-rescue
-iwl*-firmware
-kexec-tools
-linux-firmware*
-microcode_ctl
-plymouth
%end

%addon com_redhat_kdump --disable
%end

%post --erroronfail --log=/root/ks-post.log
set -eux

# Anaconda refuses root's password over SSH unless this is there; cleanup.sh takes it away again.
echo "PermitRootLogin yes" >/etc/ssh/sshd_config.d/01-permitrootlogin.conf

# The interface keeps its name when the machine changes, and a new kernel is the one that boots.
sed -i 's/^DEFAULTKERNEL=.*/DEFAULTKERNEL=kernel/' /etc/sysconfig/kernel
sed -i 's/^GRUB_TIMEOUT=.*/GRUB_TIMEOUT=0/' /etc/default/grub
%{ if arch == "amd64" ~}

# One disk for both firmwares: Anaconda has installed the loader of the one it was booted by.
grub2-install --target=i386-pc /dev/sda
if [ ! -e /boot/efi/EFI/almalinux/grub.cfg ]; then
  boot=$(findmnt --noheadings --output UUID /boot)
  printf 'search --no-floppy --fs-uuid --set=dev %s\nset prefix=($dev)/grub2\nexport $prefix\nconfigfile $prefix/grub.cfg\n' "$boot" \
    >/boot/efi/EFI/almalinux/grub.cfg
fi
%{ endif ~}
grub2-mkconfig -o /boot/grub2/grub.cfg
# A medium that firmware finds by itself, without a boot entry in its variables: a clone has new ones.
test -e /boot/efi/EFI/BOOT/BOOT${arch == "amd64" ? "X64" : "AA64"}.EFI
%end
