# The first fourteen are the module's interface and do not change; the rest have defaults.

variable "name" {
  type        = string
  description = "VM hostname"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$", var.name)) && length(var.name) <= 253
    error_message = "name must be a DNS name in lower case, such as k3s-s1: letters, digits and hyphens, no underscore, no hyphen at either end. It becomes the hostname and the Kubernetes node's name."
  }
}

variable "template" {
  type        = string
  description = "Proxmox template name"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$", var.template))
    error_message = "template must be a template's name, such as alma9-k3-node-amd64-v1.28.5-v1. A VM id does not do: it changes with every image."
  }

  validation {
    condition     = !can(regex("^[0-9]+$", var.template))
    error_message = "template must be a template's name, such as alma9-k3-node-amd64-v1.28.5-v1. A VM id does not do: it changes with every image."
  }
}

variable "node" {
  type        = string
  description = "Proxmox node name"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$", var.node))
    error_message = "node must be the name of a Proxmox node as the web interface shows it, such as pve: neither an address nor a full domain name."
  }
}

variable "storage" {
  type        = string
  description = "Storage pool for VM disks"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9._-]*[A-Za-z0-9]$", var.storage))
    error_message = "storage must be a Proxmox storage's name, such as local-lvm or vmdata, without a colon or a path."
  }
}

variable "bridge" {
  type        = string
  description = "Network bridge"
  nullable    = false

  validation {
    condition     = can(regex("^[A-Za-z][A-Za-z0-9_.-]{0,14}$", var.bridge))
    error_message = "bridge must be the name of a bridge or VNet of the node, such as vmbr0 (15 characters at most)."
  }
}

variable "cores" {
  type        = number
  description = "CPU cores"
  nullable    = false

  validation {
    condition     = var.cores >= 1 && var.cores <= 128 && floor(var.cores) == var.cores
    error_message = "cores must be a whole number from 1 to 128."
  }
}

variable "memory" {
  type        = number
  description = "RAM in MB"
  nullable    = false

  validation {
    condition     = var.memory >= 512 && var.memory <= 4178944 && floor(var.memory) == var.memory
    error_message = "memory is in MB and must be a whole number from 512 to 4178944: write 24576 for 24 GB."
  }
}

variable "disk_size" {
  type        = string
  description = "Disk size (e.g., 32G)"
  nullable    = false

  validation {
    condition     = can(regex("^[1-9][0-9]{0,4}[GT]$", var.disk_size))
    error_message = "disk_size must be a whole number above 0 followed by G or T, such as 32G or 1T."
  }
}

variable "ci_user" {
  type        = string
  description = "Cloud-init default user"
  nullable    = false

  validation {
    condition     = can(regex("^[a-z_][a-z0-9_-]{0,31}$", var.ci_user))
    error_message = "ci_user must be a Linux user name, such as admin: lower-case letters, digits, hyphens and underscores."
  }

  validation {
    condition     = var.ci_user != "root"
    error_message = "ci_user must not be root: the image refuses SSH logins of root. Use a name such as admin, who may use sudo."
  }
}

variable "ssh_pubkey" {
  type        = string
  description = "SSH public key for cloud-init"
  nullable    = false

  validation {
    condition     = !strcontains(var.ssh_pubkey, "PRIVATE KEY")
    error_message = "ssh_pubkey holds a private key. Give the content of the .pub file beside it, and consider that private key as disclosed."
  }

  # Each type is followed by its own name in base64, so a key cut short or pasted under the wrong type shows here.
  validation {
    condition = strcontains(var.ssh_pubkey, "PRIVATE KEY") || can(regex(
      "^(${join("|", [
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI[0-9A-Za-z+/]{43}",
        "ssh-rsa AAAAB3NzaC1yc2EAAAA[0-9A-Za-z+/]{250,}={0,2}",
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY[0-9A-Za-z+/]{100,}={0,2}",
        "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQ[0-9A-Za-z+/]{100,}={0,2}",
        "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjE[0-9A-Za-z+/]{100,}={0,2}",
        "sk-ssh-ed25519@openssh\\.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29t[0-9A-Za-z+/]{50,}={0,2}",
        "sk-ecdsa-sha2-nistp256@openssh\\.com AAAAInNrLWVjZHNhLXNoYTItbmlzdHAyNTZAb3BlbnNzaC5jb2[0-9A-Za-z+/]{100,}={0,2}",
      ])})( [^\\r\\n]*)?$", trimspace(var.ssh_pubkey)
    ))
    error_message = "ssh_pubkey must be one OpenSSH public key on one line (ssh-ed25519, ssh-rsa, ecdsa-sha2-… or sk-…, then AAAA…, then a comment): the content of a file such as ~/.ssh/id_ed25519.pub, whole and not its path."
  }
}

variable "ip" {
  type        = string
  description = "Static IP address with CIDR (e.g., 10.23.45.31/24)"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9.]+/[0-9]+$", var.ip)) && can(cidrhost(var.ip, 0))
    error_message = "ip must be an IPv4 address with its prefix length, such as 10.23.45.31/24."
  }

  validation {
    condition     = try(tonumber(split("/", var.ip)[1]) <= 30 && tonumber(split("/", var.ip)[1]) >= 8, true)
    error_message = "ip must have a prefix length from 8 to 30, such as 10.23.45.31/24: the gateway has to fit into the same network."
  }

  validation {
    condition     = try(!contains([cidrhost(var.ip, 0), cidrhost(var.ip, -1)], split("/", var.ip)[0]), true)
    error_message = "ip is its network's own or its broadcast address, which no VM can have: choose an address between the two."
  }
}

variable "gateway" {
  type        = string
  description = "Network gateway"
  nullable    = false

  validation {
    condition     = can(regex("^[0-9.]+$", var.gateway)) && can(cidrhost("${var.gateway}/32", 0))
    error_message = "gateway must be an IPv4 address without a prefix length, such as 10.23.45.1."
  }

  # Malformed addresses are reported by their own rules alone.
  validation {
    condition = try(
      cidrhost("${var.gateway}/${split("/", var.ip)[1]}", 0) == cidrhost(var.ip, 0),
      true
    )
    error_message = "gateway must lie in the network of ip (${try(cidrsubnet(var.ip, 0, 0), var.ip)}): the VM could not reach it otherwise."
  }

  validation {
    condition     = var.gateway != try(split("/", var.ip)[0], "")
    error_message = "gateway must differ from ip: it is the router's address, not the VM's."
  }
}

variable "nameserver" {
  type        = string
  description = "DNS nameserver"
  nullable    = false

  validation {
    condition     = can(cidrhost("${var.nameserver}/32", 0)) || can(cidrhost("${var.nameserver}/128", 0))
    error_message = "nameserver must be the IP address of one DNS server, such as 10.23.45.1."
  }
}

variable "user_data" {
  type        = string
  description = "Optional cloud-init user-data snippet name"
  default     = ""
  nullable    = false

  validation {
    condition     = var.user_data == "" || can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*$", var.user_data))
    error_message = "user_data must be the bare file name of a snippet, such as k3s-s1.yaml: its storage is snippet_storage, and there are no folders below snippets/."
  }
}

# --- with defaults ----------------------------------------------------------------------------------------------------

variable "template_node" {
  type        = string
  description = "Node that holds the template, where it is not the VM's own"
  default     = null
}

variable "vm_id" {
  type        = number
  description = "VM id; the next free one when it is null. A fixed id rules out replacement, which makes the new VM before the old one goes"
  default     = null

  validation {
    condition     = var.vm_id == null || try(var.vm_id >= 100 && var.vm_id <= 999999999 && floor(var.vm_id) == var.vm_id, false)
    error_message = "vm_id must be a whole number from 100 to 999999999, or null for the next free one."
  }
}

variable "started" {
  type        = bool
  description = "Whether the VM runs; a VM stopped by hand is started again by the next apply"
  default     = true
  nullable    = false
}

variable "cpu_type" {
  type        = string
  description = "Emulated CPU. Enterprise Linux 9 needs x86-64-v2 or better; host gives all features of the node and rules out migration to another one"
  default     = "x86-64-v2-AES"
  nullable    = false

  validation {
    condition     = !contains(["kvm64", "kvm32", "qemu64", "qemu32", "486", "pentium", "x86-64-v1"], var.cpu_type)
    error_message = "cpu_type lacks the x86-64-v2 instructions, without which Enterprise Linux 9 does not boot: use x86-64-v2-AES or host."
  }
}

variable "tags" {
  type        = set(string)
  description = "Tags shown in the web interface"
  default     = ["homelab"]
  nullable    = false

  validation {
    condition     = alltrue([for tag in var.tags : can(regex("^[a-z0-9_][a-z0-9_+.-]*$", tag))])
    error_message = "tags must be of lower-case letters, digits and _ + . - each."
  }
}

variable "snippet_storage" {
  type        = string
  description = "Storage that holds the user_data snippet"
  default     = "local"
  nullable    = false
}

variable "run" {
  type        = string
  description = "The run that makes the VM, for its notes: by it the tasks know what a killed run has left half made"
  default     = ""
  nullable    = false

  validation {
    condition     = can(regex("^[0-9a-f]*$", var.run))
    error_message = "run must be a run's number in hexadecimal digits, as the tasks give it."
  }
}

variable "agent_timeout" {
  type        = string
  description = "How long to wait for the guest agent to report an address; a guest whose agent is dead delays every plan by this"
  default     = "5m"
  nullable    = false

  validation {
    condition     = can(regex("^[1-9][0-9]*[sm]$", var.agent_timeout))
    error_message = "agent_timeout must be a number of seconds or minutes, such as 90s or 5m."
  }
}
