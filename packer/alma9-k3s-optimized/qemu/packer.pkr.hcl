# The image in a local QEMU: ends in a qcow2, which `npm run upload-image` puts onto a node.

packer {
  required_version = ">= 1.12.0"

  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = ">= 1.0.9, < 2.0.0"
    }
  }
}

locals {
  image_dir = abspath("${path.root}/..")
  source    = "source.qemu.image"
  builder   = "qemu"

  by_arch = {
    amd64 = { binary = "qemu-system-x86_64", machine = "q35", cdrom = "" }
    # This machine has no IDE, which the CD drives would be on otherwise.
    arm64 = { binary = "qemu-system-aarch64", machine = "virt", cdrom = "virtio-scsi" }
  }
  defaults = local.by_arch[var.arch]

  # Enterprise Linux 9 needs x86-64-v2, which QEMU's default CPU lacks.
  cpu_model = var.cpu_model != "" ? var.cpu_model : var.accelerator == "tcg" ? "max" : "host"

  # The arm64 machine has neither screen nor keyboard, which the boot command is typed on; naming any device means naming all.
  cdroms = var.kickstart_delivery == "cd" ? ["cdrom0", "cdrom1"] : ["cdrom0"]
  arm64_devices = concat(
    ["virtio-scsi-pci,id=scsi0", "scsi-hd,bus=scsi0.0,drive=drive0"],
    [for drive in local.cdroms : "scsi-cd,bus=scsi0.0,drive=${drive}"],
    ["virtio-net-pci,netdev=user.0", "virtio-gpu-pci", "qemu-xhci", "usb-kbd"],
  )
  devices = var.arch == "arm64" ? [for device in local.arm64_devices : ["-device", device]] : []
}

source "qemu" "image" {
  vm_name          = "${local.image_name}.qcow2"
  output_directory = var.output_directory
  headless         = var.headless

  # --- machine ----------------------------------------------------------------------------------------------------------

  qemu_binary  = var.qemu_binary != "" ? var.qemu_binary : local.defaults.binary
  accelerator  = var.accelerator
  machine_type = var.machine_type != "" ? var.machine_type : local.defaults.machine
  cpu_model    = local.cpu_model
  cpus         = var.cores
  memory       = var.memory

  # The builder works on a copy of the variables. Naming either file would switch UEFI on.
  efi_boot          = var.firmware == "uefi"
  efi_firmware_code = var.firmware == "uefi" ? var.efi_firmware_code : null
  efi_firmware_vars = var.firmware == "uefi" ? var.efi_firmware_vars : null

  # --- disk, network and console ----------------------------------------------------------------------------------------

  # As on Proxmox: the disk is sda there and here. What the guest trims is gone from the file.
  disk_interface     = "virtio-scsi"
  disk_size          = var.disk_size
  disk_discard       = "unmap"
  disk_detect_zeroes = "unmap"
  disk_cache         = "unsafe" # a build that a power cut ends is started again anyway
  disk_compression   = true
  format             = "qcow2"
  net_device         = "virtio-net"
  cdrom_interface    = local.defaults.cdrom

  qemuargs = concat(local.devices, [["-serial", "file:${var.log_directory}/serial.log"]])

  # --- installing -------------------------------------------------------------------------------------------------------

  iso_url      = var.alma_iso_url
  iso_checksum = var.alma_iso_checksum

  http_content      = local.http_content
  http_bind_address = var.http_bind_address
  cd_content        = local.cd_content
  cd_label          = "OEMDRV"

  boot_wait         = var.boot_wait
  boot_key_interval = "20ms"
  boot_command      = local.boot_command

  # --- provisioning -----------------------------------------------------------------------------------------------------

  ssh_username = "root"
  ssh_password = var.build_password
  ssh_timeout  = var.ssh_timeout
  # Packer's scp sends in small pieces: ten times slower where the CPU is emulated.
  ssh_file_transfer_method = "sftp"

  shutdown_command = "poweroff"
  shutdown_timeout = "10m"
}
