# What the local build needs besides the shared variables of common.pkr.hcl.

variable "output_directory" {
  type        = string
  description = "Folder for the qcow2; Packer makes it, and refuses one that is there"

  validation {
    condition     = length(var.output_directory) > 0
    error_message = "The output_directory must be the path of a folder that is not there yet."
  }
}

variable "accelerator" {
  type        = string
  description = "How the guest's CPU is run: kvm (Linux), hvf (macOS), or tcg, which emulates it and is ten times slower"
  default     = "kvm"

  validation {
    condition     = contains(["kvm", "tcg", "hvf"], var.accelerator)
    error_message = "The accelerator must be kvm, tcg or hvf."
  }
}

variable "qemu_binary" {
  type        = string
  description = "QEMU's program; qemu-system-x86_64 or qemu-system-aarch64 by arch when it is empty"
  default     = ""
}

variable "machine_type" {
  type        = string
  description = "QEMU's machine; q35 or virt by arch when it is empty"
  default     = ""
}

variable "cpu_model" {
  type        = string
  description = "QEMU's CPU; host with hardware acceleration and max without it when it is empty"
  default     = ""

  validation {
    condition     = !contains(["kvm64", "kvm32", "qemu64", "qemu32"], var.cpu_model)
    error_message = "The cpu_model lacks the x86-64-v2 instructions, without which Enterprise Linux 9 does not boot."
  }
}

variable "efi_firmware_code" {
  type        = string
  description = "UEFI firmware for QEMU, without Secure Boot (Debian: package ovmf, or qemu-efi-aarch64 for arm64)"
  default     = "/usr/share/OVMF/OVMF_CODE_4M.fd"

  validation {
    condition     = length(var.efi_firmware_code) > 0
    error_message = "The efi_firmware_code must be the path of a firmware file."
  }
}

variable "efi_firmware_vars" {
  type        = string
  description = "The variables that go with efi_firmware_code; the build works on a copy"
  default     = "/usr/share/OVMF/OVMF_VARS_4M.fd"

  validation {
    condition     = length(var.efi_firmware_vars) > 0
    error_message = "The efi_firmware_vars must be the path of a file of firmware variables."
  }
}

variable "headless" {
  type        = bool
  description = "Build without a window; the screen is on VNC either way"
  default     = true
}
