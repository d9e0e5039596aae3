# What the build on a Proxmox node needs besides the shared variables of common.pkr.hcl (image_version, k3s_version, alma_iso_url …).

variable "proxmox_url" {
  type        = string
  description = "Proxmox API URL (e.g., https://10.23.45.10:8006/api2/json)"

  validation {
    condition     = can(regex("^https://[^/@?#\\s]+/api2/json$", var.proxmox_url))
    error_message = "The proxmox_url must be the API's address with its path, such as https://10.23.45.10:8006/api2/json, without credentials in it."
  }
}

variable "proxmox_username" {
  type        = string
  description = "Proxmox API token ID (e.g., root@pam!packer): user, realm and the token's name"

  validation {
    condition     = can(regex("^[^\\s:/!]+@[A-Za-z][A-Za-z0-9_.-]+![A-Za-z][A-Za-z0-9_.-]+$", var.proxmox_username))
    error_message = "The proxmox_username must have the form USER@REALM!TOKENID, such as root@pam!packer: the build logs in with an API token."
  }
}

variable "proxmox_token" {
  type        = string
  description = "Proxmox API token's secret; comes in through the environment (PKR_VAR_proxmox_token), never from a file"
  sensitive   = true

  validation {
    condition     = length(var.proxmox_token) > 0
    error_message = "The proxmox_token must be the secret that Proxmox showed when the API token was made."
  }
}

variable "proxmox_insecure" {
  type        = bool
  description = "Do not verify the node's certificate; the tasks add its CA to the trusted ones instead"
  default     = false
}

variable "proxmox_node" {
  type        = string
  description = "Proxmox node name to build on"

  validation {
    condition     = can(regex("^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$", var.proxmox_node))
    error_message = "The proxmox_node must be the name of a Proxmox node as the web interface shows it, such as pve: neither an address nor a full domain name."
  }
}

variable "proxmox_storage" {
  type        = string
  description = "Storage pool for the template's disks"
  default     = "vmdata"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$", var.proxmox_storage))
    error_message = "The proxmox_storage must be a Proxmox storage's name, such as local-lvm or vmdata, without a colon or a path."
  }
}

variable "proxmox_iso_storage" {
  type        = string
  description = "Storage for ISOs: the installer, and the kickstart's with kickstart_delivery=cd"
  default     = "local"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$", var.proxmox_iso_storage))
    error_message = "The proxmox_iso_storage must be a Proxmox storage's name, such as local, without a colon or a path."
  }
}

variable "proxmox_iso_file" {
  type        = string
  description = "Installer ISO that is on the node already (e.g., local:iso/AlmaLinux-9-latest-x86_64-minimal.iso); alma_iso_url is uploaded when it is empty"
  default     = ""

  validation {
    condition     = var.proxmox_iso_file == "" || can(regex("^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]:iso/[^/]+\\.(iso|ISO|img|IMG)$", var.proxmox_iso_file))
    error_message = "The proxmox_iso_file must be a volume id in the form STORAGE:iso/FILE, such as local:iso/AlmaLinux-9-latest-x86_64-minimal.iso."
  }
}

variable "proxmox_bridge" {
  type        = string
  description = "Network bridge of the guest while it is built"
  default     = "vmbr0"

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_.-]{0,14}$", var.proxmox_bridge))
    error_message = "The proxmox_bridge must be the name of a bridge or VNet of the node, such as vmbr0 (15 characters at most)."
  }
}
