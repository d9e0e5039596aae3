#!/usr/bin/env bats
load support

@test "guest-agent: enables the agent and all of cloud-init, and starts nothing" {
  script guest-agent
  succeeded
  called '^systemctl enable qemu-guest-agent.service'
  called '^systemctl enable cloud-init-local.service cloud-init.service cloud-config.service cloud-final.service'
  not_called '^systemctl (start|restart)|--now'
}

@test "guest-agent: lets cloud-init look at the cloud-init drive alone, and grow the root partition" {
  script guest-agent
  grep -q '^datasource_list: \[NoCloud' "$HOMELAB_ROOT/etc/cloud/cloud.cfg.d/10-homelab.cfg"
  grep -q 'devices: \["/"\]' "$HOMELAB_ROOT/etc/cloud/cloud.cfg.d/10-homelab.cfg"
  [[ $(<"$HOMELAB_ROOT/etc/tuned/active_profile") == virtual-guest ]]
}

@test "guest-agent: ends the build when the agent cannot be installed" {
  stand_in dnf 'exit 1'
  script guest-agent
  failed
  not_called '^systemctl'
}

@test "guest-agent: a second run changes nothing" {
  script guest-agent
  before=$(snapshot)
  script guest-agent
  succeeded
  [[ $(snapshot) == "$before" ]]
}
