# Values come from terraform/globals.tfvars, and from the settings of the tasks (.env, environment, flags), which beat it.

# --- Proxmox API ------------------------------------------------------------------------------------------------------

variable "pm_api_url" {
  type        = string
  description = "Proxmox API endpoint (e.g., https://10.23.45.10:8006/api2/json)"
  nullable    = false

  validation {
    condition     = can(regex("^https://[^/@?#]+(/api2/json)?/?$", var.pm_api_url))
    error_message = "pm_api_url must be the API's address, such as https://10.23.45.10:8006/api2/json, without credentials in it."
  }
}

variable "pm_api_token_id" {
  type        = string
  description = "API token ID (e.g., root@pam!terraform)"
  nullable    = false

  validation {
    condition     = can(regex("^[^\\s:/!]+@[A-Za-z][A-Za-z0-9_.-]+![A-Za-z][A-Za-z0-9_.-]+$", var.pm_api_token_id))
    error_message = "pm_api_token_id must have the form USER@REALM!TOKENID, such as root@pam!terraform."
  }
}

variable "pm_api_token_secret" {
  type        = string
  description = "API token secret; comes in through the environment (TF_VAR_pm_api_token_secret), never from a file"
  sensitive   = true
  nullable    = false
}

variable "pm_tls_insecure" {
  type        = bool
  description = "Do not verify the node's certificate; the tasks add its CA to the trusted ones instead"
  default     = false
  nullable    = false
}

# --- where the VM goes ------------------------------------------------------------------------------------------------

variable "node" {
  type        = string
  description = "Proxmox node name"
  default     = "pve"
}

variable "storage" {
  type        = string
  description = "Storage pool for VM disks"
  default     = "vmdata"
}

variable "snippet_storage" {
  type        = string
  description = "Storage that holds the user_data snippet"
  default     = "local"
}

variable "bridge" {
  type        = string
  description = "Network bridge"
  default     = "vmbr0"
}

# --- the VM -----------------------------------------------------------------------------------------------------------

variable "name" {
  type        = string
  description = "VM hostname"
  default     = "k3s-s1"
}

variable "template" {
  type        = string
  description = "Proxmox template name"
}

variable "cores" {
  type        = number
  description = "CPU cores"
  default     = 4
}

variable "memory" {
  type        = number
  description = "RAM in MB"
  default     = 24576
}

variable "disk_size" {
  type        = string
  description = "Disk size (e.g., 32G)"
  default     = "32G"
}

variable "cpu_type" {
  type        = string
  description = "Emulated CPU; host gives all features of the node"
  default     = "x86-64-v2-AES"
}

variable "tags" {
  type        = set(string)
  description = "Tags shown in the web interface"
  default     = ["homelab", "k3s"]
}

variable "started" {
  type        = bool
  description = "Whether the VM runs"
  default     = true
}

# --- cloud-init -------------------------------------------------------------------------------------------------------

variable "ci_user" {
  type        = string
  description = "Cloud-init default user"
  default     = "admin"
}

variable "ssh_pubkey" {
  type        = string
  description = "SSH public key for cloud-init"
}

variable "ip" {
  type        = string
  description = "Static IP address with CIDR (e.g., 10.23.45.31/24)"
  default     = "10.23.45.31/24"
}

variable "gateway" {
  type        = string
  description = "Network gateway"
  default     = "10.23.45.1"
}

variable "nameserver" {
  type        = string
  description = "DNS nameserver"
  default     = "10.23.45.1"
}

variable "user_data" {
  type        = string
  description = "Optional cloud-init user-data snippet name"
  default     = ""
}

variable "run" {
  type        = string
  description = "The run that makes the VM, for its notes; the tasks set it"
  default     = ""
}
