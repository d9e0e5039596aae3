# The image on a Proxmox node: ends in a template, which is there to be cloned at once.

packer {
  required_version = ">= 1.12.0"

  required_plugins {
    proxmox = {
      source  = "github.com/hashicorp/proxmox"
      version = ">= 1.2.2, < 2.0.0" # boot_iso
    }
  }
}

locals {
  image_dir = abspath(path.root)
  source    = "source.proxmox-iso.image"
  builder   = "proxmox"

  # Proxmox lets only root@pam choose another CPU architecture than the node's: an arm64 image is built with qemu/.
  machine = { amd64 = "q35" }[var.arch]

  # The boot ISO that is there already, or one to upload.
  iso_is_there = var.proxmox_iso_file != ""
}

source "proxmox-iso" "image" {
  proxmox_url              = var.proxmox_url
  username                 = var.proxmox_username
  token                    = var.proxmox_token
  node                     = var.proxmox_node
  insecure_skip_tls_verify = var.proxmox_insecure
  task_timeout             = "20m" # the default of one minute breaks the transfer of an ISO

  # One name from the beginning: what an interrupted build leaves behind is found by it.
  vm_name              = local.image_name
  template_name        = local.image_name
  template_description = local.image_description
  tags                 = join(";", local.image_tags)

  # --- machine ----------------------------------------------------------------------------------------------------------

  os       = "l26"
  machine  = local.machine
  bios     = var.firmware == "uefi" ? "ovmf" : "seabios"
  cpu_type = "x86-64-v2-AES" # the plugin's kvm64 lacks x86-64-v2, which Enterprise Linux 9 needs
  cores    = var.cores
  memory   = var.memory

  dynamic "efi_config" {
    for_each = var.firmware == "uefi" ? [var.proxmox_storage] : []
    content {
      efi_storage_pool  = efi_config.value
      efi_type          = "4m"
      pre_enrolled_keys = false # with Microsoft's keys enrolled, Secure Boot would be on
    }
  }

  # --- disk, network and console ----------------------------------------------------------------------------------------

  scsi_controller = "virtio-scsi-single"

  disks {
    type         = "scsi"
    storage_pool = var.proxmox_storage
    disk_size    = var.disk_size
    discard      = true # what cleanup.sh trims is given back to a thin storage
    ssd          = true
    io_thread    = true
  }

  network_adapters {
    model  = "virtio"
    bridge = var.proxmox_bridge
  }

  serials    = ["socket"]
  qemu_agent = true # tells Packer the guest's address, so it is installed by the kickstart

  # The plugin puts the drive on the first free IDE slot when the template is made. The CDs are on SATA, so that this is ide0:
  # of ide0 to ide3 a q35 machine starts with ide0 and ide2 alone. A VM of terraform/ has its own on ide2.
  cloud_init              = true
  cloud_init_disk_type    = "ide"
  cloud_init_storage_pool = var.proxmox_storage

  # --- installing -------------------------------------------------------------------------------------------------------

  boot = "order=scsi0;sata0" # the disk is empty the first time

  boot_iso {
    type             = "sata"
    index            = "0"
    iso_file         = local.iso_is_there ? var.proxmox_iso_file : null
    iso_url          = local.iso_is_there ? null : var.alma_iso_url
    iso_checksum     = local.iso_is_there ? null : var.alma_iso_checksum
    iso_storage_pool = local.iso_is_there ? null : var.proxmox_iso_storage
    unmount          = true
  }

  dynamic "additional_iso_files" {
    for_each = var.kickstart_delivery == "cd" ? [local.cd_content] : []
    content {
      type             = "sata"
      index            = "1"
      cd_content       = additional_iso_files.value
      cd_label         = "OEMDRV"
      iso_storage_pool = var.proxmox_iso_storage
      unmount          = true
    }
  }

  http_content      = local.http_content
  http_bind_address = var.http_bind_address

  boot_wait         = var.boot_wait
  boot_key_interval = "20ms"
  boot_command      = local.boot_command

  # --- provisioning -----------------------------------------------------------------------------------------------------

  # A fixed address is known; otherwise the guest agent tells it.
  ssh_host     = local.static_address ? split("/", var.build_ip)[0] : null
  ssh_username = "root"
  ssh_password = var.build_password
  ssh_timeout  = var.ssh_timeout
}
