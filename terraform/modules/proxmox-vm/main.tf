# The provider clones by id, people name templates: every VM and template of the node is listed once, and the name
# looked up in it. Filters would only be applied to the same answer by the provider.
data "proxmox_virtual_environment_vms" "node" {
  node_name = local.template_node
}

locals {
  template_node = coalesce(var.template_node, var.node)

  templates = [for vm in data.proxmox_virtual_environment_vms.node.vms : vm if vm.template]
  matches   = [for vm in local.templates : vm.vm_id if vm.name == var.template]

  # The template's id as soon as there is exactly one; otherwise a precondition below ends the plan before 100 is used.
  template_id = length(local.matches) == 1 ? local.matches[0] : 100

  disk_gigabytes = tonumber(trimsuffix(trimsuffix(var.disk_size, "G"), "T")) * (endswith(var.disk_size, "T") ? 1024 : 1)
}

# The provider's defaults replace what the template says as soon as a block is present (a CPU without x86-64-v2, 512 MB,
# an 8 GB disk on local-lvm …): so everything that matters is named here, also where it equals the template.
resource "proxmox_virtual_environment_vm" "vm" {
  name        = var.name
  description = "Made from the template ${var.template} (${local.template_id})${var.run == "" ? "" : " by run ${var.run}"} and changed by OpenTofu: settings changed here by hand are set back by the next apply."
  tags        = sort(var.tags) # Proxmox sorts them; another order would be a change in every plan
  node_name   = var.node
  vm_id       = var.vm_id

  started = var.started
  on_boot = true

  # Cluster nodes are not killed while they write: the guest gets five minutes to shut down, then it is stopped.
  stop_on_destroy     = false
  timeout_shutdown_vm = 300

  # With the VM go the disks that it has. Others that bear its number belonged to a VM that had it before, and were kept.
  delete_unreferenced_disks_on_destroy = false

  clone {
    vm_id        = local.template_id
    node_name    = local.template_node
    datastore_id = var.storage
    full         = true # a linked clone would tie the template's life to the VM's
    retries      = 3    # two clones of one template at once: the second is refused while the first holds the lock
  }

  # --- firmware and machine ---------------------------------------------------------------------------------------

  # The image boots by UEFI only: with SeaBIOS a clone hangs at "Booting from hard disk".
  bios          = "ovmf"
  machine       = "q35"
  scsi_hardware = "virtio-scsi-single"
  boot_order    = ["scsi0"]

  efi_disk {
    datastore_id      = var.storage
    type              = "4m"
    pre_enrolled_keys = false # with Microsoft's keys enrolled, Secure Boot would be on
  }

  operating_system {
    type = "l26"
  }

  # --- size -------------------------------------------------------------------------------------------------------

  cpu {
    cores   = var.cores
    sockets = 1
    type    = var.cpu_type
  }

  memory {
    dedicated = var.memory
    floating  = 0 # no ballooning: the kubelet takes the memory it sees at start for granted
  }

  # The only disk. discard and ssd let the guest's fstrim give space back to a thin storage.
  disk {
    interface    = "scsi0"
    datastore_id = var.storage
    size         = local.disk_gigabytes
    ssd          = true
    discard      = "on"
    iothread     = true
  }

  # --- network and console ----------------------------------------------------------------------------------------

  network_device {
    model  = "virtio"
    bridge = var.bridge
  }

  # `qm terminal ID` works, and the kernel's boot messages go there too.
  serial_device {
    device = "socket"
  }

  agent {
    enabled = true
    type    = "virtio"
    trim    = true # after a clone or a move, so that a thin storage gets the free space back
    timeout = var.agent_timeout
  }

  # --- cloud-init -------------------------------------------------------------------------------------------------

  initialization {
    # On scsi1 it would count as a second SCSI disk; q35 has ide0 and ide2, and EL 9's kernel the AHCI driver for them.
    interface    = "ide2"
    datastore_id = var.storage

    # A snippet replaces what Proxmox would make of user and key: it has to carry both, and the hostname.
    user_data_file_id = var.user_data == "" ? null : "${var.snippet_storage}:snippets/${var.user_data}"

    user_account {
      username = var.ci_user
      keys     = [trimspace(var.ssh_pubkey)]
    }

    dns {
      servers = [var.nameserver]
    }

    ip_config {
      ipv4 {
        address = var.ip
        gateway = var.gateway
      }
    }
  }

  lifecycle {
    # When a VM is to be replaced on purpose, the new one exists before the old one goes.
    create_before_destroy = true

    # A new image is a new template with a new id, which would replace every VM made from an older one, data included.
    # Where a VM came from is history, which its notes tell (`npm run images` reads them); it takes a new image when it is
    # replaced by name (tf-apply --allow-replace).
    ignore_changes = [clone, description]

    precondition {
      condition     = length(local.templates) > 0
      error_message = <<-EOT
        Node "${local.template_node}" shows no template at all, so "${var.template}" cannot be cloned.
        Either none was made yet, or the API token may not see it: without VM.Audit on /vms the list is empty, with privilege separation the token needs its own permissions.
      EOT
    }

    precondition {
      condition     = length(local.templates) == 0 || length(local.matches) > 0
      error_message = <<-EOT
        There is no template "${var.template}" on node "${local.template_node}".
        Templates there: ${join(", ", sort([for vm in local.templates : "${vm.name} (${vm.vm_id})"]))}.
      EOT
    }

    precondition {
      condition     = length(local.matches) < 2
      error_message = <<-EOT
        Node "${local.template_node}" has ${length(local.matches)} templates called "${var.template}": VM ids ${join(", ", local.matches)}.
        Which one is meant cannot be told: rename or remove all but one (qm set ID --name NAME, on the node).
      EOT
    }
  }
}
