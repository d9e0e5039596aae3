# What the module asks Proxmox for, against a mocked provider: `tofu test` in the module's folder.

mock_provider "proxmox" {
  mock_data "proxmox_virtual_environment_vms" {
    defaults = {
      vms = [
        { vm_id = 100, name = "k3s-s1", template = false, status = "running", node_name = "pve", tags = [] },
        { vm_id = 9000, name = "alma9-k3-node-amd64-v1.28.5-v1", template = true, status = "stopped", node_name = "pve", tags = [] },
        { vm_id = 9001, name = "alma9-k3-node-amd64-v1.28.5-v2", template = true, status = "stopped", node_name = "pve", tags = [] },
        { vm_id = 9002, name = "twin", template = true, status = "stopped", node_name = "pve", tags = [] },
        { vm_id = 9003, name = "twin", template = true, status = "stopped", node_name = "pve", tags = [] },
      ]
    }
  }

  mock_resource "proxmox_virtual_environment_vm" {
    defaults = {
      vm_id = 101
    }
  }
}

variables {
  name       = "k3s-s1"
  template   = "alma9-k3-node-amd64-v1.28.5-v2"
  node       = "pve"
  storage    = "vmdata"
  bridge     = "vmbr0"
  cores      = 4
  memory     = 24576
  disk_size  = "32G"
  ci_user    = "admin"
  ssh_pubkey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBXRK5CLWFa1aUdkLZexzJI8jAi4sGANxV0HLVdf7jrI someone@example\n"
  ip         = "10.23.45.31/24"
  gateway    = "10.23.45.1"
  nameserver = "10.23.45.1"
}

run "clones_the_template_of_that_name" {
  command = plan

  assert {
    condition     = one(proxmox_virtual_environment_vm.vm.clone).vm_id == 9001
    error_message = "The name must lead to the id of the template."
  }

  assert {
    condition     = one(proxmox_virtual_environment_vm.vm.clone).full && one(proxmox_virtual_environment_vm.vm.clone).datastore_id == "vmdata"
    error_message = "The clone must be a full one, on the storage for VM disks."
  }

  assert {
    condition     = data.proxmox_virtual_environment_vms.node.node_name == "pve" && one(proxmox_virtual_environment_vm.vm.clone).node_name == "pve"
    error_message = "The template is looked for on the VM's own node."
  }
}

run "boots_by_uefi" {
  command = plan

  assert {
    condition     = proxmox_virtual_environment_vm.vm.bios == "ovmf" && proxmox_virtual_environment_vm.vm.machine == "q35"
    error_message = "Firmware and machine must be named."
  }

  assert {
    condition     = one(proxmox_virtual_environment_vm.vm.efi_disk) == { datastore_id = "vmdata", type = "4m", pre_enrolled_keys = false, file_format = one(proxmox_virtual_environment_vm.vm.efi_disk).file_format }
    error_message = "The EFI disk lies on the same storage, 4m, without enrolled keys."
  }
}

run "has_one_scsi_disk_and_one_virtio_nic" {
  command = plan

  assert {
    condition     = length(proxmox_virtual_environment_vm.vm.disk) == 1 && proxmox_virtual_environment_vm.vm.scsi_hardware == "virtio-scsi-single"
    error_message = "Exactly one disk, on virtio-scsi-single."
  }

  assert {
    condition = alltrue([for disk in proxmox_virtual_environment_vm.vm.disk :
      disk.interface == "scsi0" && disk.datastore_id == "vmdata" && disk.size == 32 && disk.ssd && disk.discard == "on" && disk.iothread
    ])
    error_message = "The disk is scsi0 with SSD emulation, discard and an I/O thread, 32 GB on vmdata."
  }

  assert {
    condition     = length(proxmox_virtual_environment_vm.vm.network_device) == 1 && one(proxmox_virtual_environment_vm.vm.network_device).model == "virtio" && one(proxmox_virtual_environment_vm.vm.network_device).bridge == "vmbr0"
    error_message = "Exactly one virtio interface, attached to the bridge."
  }
}

run "has_the_size_asked_for" {
  command = plan

  assert {
    condition     = one(proxmox_virtual_environment_vm.vm.cpu).cores == 4 && one(proxmox_virtual_environment_vm.vm.cpu).type == "x86-64-v2-AES"
    error_message = "Four cores of a named type."
  }

  assert {
    condition     = one(proxmox_virtual_environment_vm.vm.memory).dedicated == 24576 && one(proxmox_virtual_environment_vm.vm.memory).floating == 0
    error_message = "24576 MB, without ballooning."
  }
}

run "hands_everything_to_cloud_init" {
  command = plan

  assert {
    condition     = one(proxmox_virtual_environment_vm.vm.initialization).interface == "ide2" && one(proxmox_virtual_environment_vm.vm.initialization).datastore_id == "vmdata"
    error_message = "The cloud-init drive is ide2 on the storage for VM disks."
  }

  assert {
    condition     = one(one(proxmox_virtual_environment_vm.vm.initialization).user_account).username == "admin" && one(one(one(proxmox_virtual_environment_vm.vm.initialization).user_account).keys) == trimspace(var.ssh_pubkey)
    error_message = "User and key (without the line's end) go in."
  }

  assert {
    condition     = one(one(one(proxmox_virtual_environment_vm.vm.initialization).ip_config).ipv4).address == "10.23.45.31/24" && one(one(one(proxmox_virtual_environment_vm.vm.initialization).ip_config).ipv4).gateway == "10.23.45.1"
    error_message = "Address with its prefix, and gateway."
  }

  assert {
    condition     = one(one(proxmox_virtual_environment_vm.vm.initialization).dns).servers == tolist(["10.23.45.1"])
    error_message = "The name server goes in."
  }

  assert {
    condition     = one(proxmox_virtual_environment_vm.vm.agent).enabled && one(proxmox_virtual_environment_vm.vm.agent).timeout == "5m"
    error_message = "The agent is on, and a dead one does not hold up plans for long."
  }
}

run "user_data_becomes_cicustom" {
  command = plan

  variables {
    user_data = "k3s-s1.yaml"
  }

  assert {
    condition     = one(proxmox_virtual_environment_vm.vm.initialization).user_data_file_id == "local:snippets/k3s-s1.yaml"
    error_message = "The snippet must be referred to on its storage."
  }
}

run "a_terabyte_is_1024_gigabytes" {
  command = plan

  variables {
    disk_size = "2T"
  }

  assert {
    condition     = one(proxmox_virtual_environment_vm.vm.disk).size == 2048
    error_message = "2T must be 2048 GB."
  }
}

run "the_template_may_lie_on_another_node" {
  command = plan

  variables {
    template_node = "pve2"
  }

  assert {
    condition     = data.proxmox_virtual_environment_vms.node.node_name == "pve2" && one(proxmox_virtual_environment_vm.vm.clone).node_name == "pve2" && proxmox_virtual_environment_vm.vm.node_name == "pve"
    error_message = "Looked up and cloned there, placed here."
  }
}

run "tells_id_and_address" {
  assert {
    condition     = output.vm_id == 101 && output.ip_address == "10.23.45.31/24"
    error_message = "Both outputs must be there, the address as it was given."
  }
}

run "a_new_template_replaces_nothing" {
  command = plan

  variables {
    template = "alma9-k3-node-amd64-v1.28.5-v1"
  }

  assert {
    condition     = one(proxmox_virtual_environment_vm.vm.clone).vm_id == 9001
    error_message = "A VM that exists must keep the clone source it was made from."
  }
}

run "refuses_a_template_that_is_not_there" {
  command = plan

  variables {
    template = "alma9-k3-node-amd64-v1.29.0-v1"
  }

  expect_failures = [proxmox_virtual_environment_vm.vm]
}

run "does_not_take_a_vm_for_a_template" {
  command = plan

  variables {
    template = "k3s-s1"
  }

  expect_failures = [proxmox_virtual_environment_vm.vm]
}

run "refuses_two_templates_of_one_name" {
  command = plan

  variables {
    template = "twin"
  }

  expect_failures = [proxmox_virtual_environment_vm.vm]
}
