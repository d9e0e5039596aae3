#!/usr/bin/env bash
# What makes the system a good guest: the QEMU agent, cloud-init, a tuned profile, a console that Proxmox can show.
set -euo pipefail
# shellcheck source=SCRIPTDIR/lib.sh
source "${HOMELAB_LIB:-$(dirname "${BASH_SOURCE[0]}")/lib.sh}"
begin guest-agent

# The kickstart has installed them: without the agent Packer would not have found the address. An image built from another
# kickstart gets them here.
install_packages cloud-init cloud-utils-growpart qemu-guest-agent tuned

log "enabling the guest agent and cloud-init"
systemctl enable qemu-guest-agent.service
systemctl enable cloud-init-local.service cloud-init.service cloud-config.service cloud-final.service

# A clone finds its settings on Proxmox' cloud-init drive (NoCloud), at once; a look for cloud providers takes a minute.
write_file /etc/cloud/cloud.cfg.d/10-homelab.cfg <<'CONF'
datasource_list: [NoCloud, ConfigDrive, None]
disable_root: true
ssh_pwauth: false
# The root partition grows to the size of the clone's disk.
growpart:
  mode: auto
  devices: ["/"]
resize_rootfs: true
CONF

# tuned-adm would want the daemon running.
systemctl enable tuned.service
write_file /etc/tuned/active_profile <<<virtual-guest
write_file /etc/tuned/profile_mode <<<manual
