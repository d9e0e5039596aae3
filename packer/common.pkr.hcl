# What both builders share: variables, names, kickstart, boot command and the provisioners in their order. Packer reads the
# folder it is given and nothing above it, so each builder's folder holds a link to this file; what differs (the source, and
# the three locals it says below) stands in its packer.pkr.hcl.

# --- the image --------------------------------------------------------------------------------------------------------

variable "image_version" {
  type        = string
  description = "Semantic version: alma{version}-k3-node-{arch}-{k3s-version}-v{distribution-release}; the template's name"

  validation {
    condition     = can(regex("^alma9-k3-node-(amd64|arm64)-v(0|[1-9][0-9]{0,3})(\\.(0|[1-9][0-9]{0,3})){2}-v[1-9][0-9]{0,4}$", var.image_version))
    error_message = "The image_version must have the form alma9-k3-node-{amd64 or arm64}-{Kubernetes version}-v{release}, such as alma9-k3-node-amd64-v1.28.5-v1."
  }
}

variable "k3s_version" {
  type        = string
  description = "K3s version to install, with its revision (e.g., v1.28.5+k3s1)"

  validation {
    condition     = can(regex("^v(0|[1-9][0-9]{0,3})(\\.(0|[1-9][0-9]{0,3})){2}\\+k3s[1-9][0-9]{0,3}$", var.k3s_version))
    error_message = "The k3s_version must be a release in the form vMAJOR.MINOR.PATCH+k3sREVISION, such as v1.28.5+k3s1."
  }
}

variable "arch" {
  type        = string
  description = "CPU architecture of the image"
  default     = "amd64"

  validation {
    condition     = contains(["amd64", "arm64"], var.arch)
    error_message = "The arch must be amd64 or arm64: k3s and AlmaLinux 9 both have releases for these alone."
  }
}

variable "firmware" {
  type        = string
  description = "Firmware the build boots with; the finished image boots under UEFI, and on amd64 under BIOS too"
  default     = "uefi"

  validation {
    condition     = contains(["uefi", "bios"], var.firmware)
    error_message = "The firmware must be uefi or bios."
  }
}

variable "k3s_releases_url" {
  type        = string
  description = "Mirror of k3s' releases that the guest downloads from; GitHub when it is empty"
  default     = ""

  validation {
    condition     = var.k3s_releases_url == "" || can(regex("^https?://[^\\s\"']+[^/\\s\"']$", var.k3s_releases_url))
    error_message = "The k3s_releases_url must be the URL of the folder that holds a folder for each release, without a slash at its end."
  }
}

variable "disk_size" {
  type        = string
  description = "Size of the image's disk; a clone's disk can be larger, never smaller"
  default     = "16G"

  validation {
    condition     = can(regex("^[1-9][0-9]{0,3}G$", var.disk_size))
    error_message = "The disk_size must be a whole number of gigabytes, such as 16G."
  }
}

variable "automatic_updates" {
  type        = bool
  description = "Let the image's VMs install security updates by themselves; they never restart by themselves"
  default     = false
}

variable "oscap" {
  type        = bool
  description = "Run the OpenSCAP stub of hardening-oscap.sh; its header says what it does and how to extend it"
  default     = false
}

# --- the installer ----------------------------------------------------------------------------------------------------

variable "alma_iso_url" {
  type        = string
  description = "AlmaLinux 9 Minimal ISO: its URL, or a path on this machine"

  validation {
    condition     = length(var.alma_iso_url) > 0
    error_message = "The alma_iso_url must be a URL or a path, such as https://repo.almalinux.org/almalinux/9/isos/x86_64/AlmaLinux-9-latest-x86_64-minimal.iso."
  }
}

variable "alma_iso_checksum" {
  type        = string
  description = "Checksum of the ISO (sha256:…), or where it is written (file:URL)"

  validation {
    condition     = can(regex("^(sha256:[0-9a-f]{64}|file:.+)$", var.alma_iso_checksum))
    error_message = "The alma_iso_checksum must be sha256: followed by 64 hexadecimal digits, or file: followed by the URL of a checksum file. Without one nothing would vouch for the ISO."
  }
}

variable "alma_mirror" {
  type        = string
  description = "Mirror to install packages from (e.g., https://repo.almalinux.org/almalinux/9); AlmaLinux' own list of mirrors when it is empty"
  default     = ""

  validation {
    condition     = var.alma_mirror == "" || can(regex("^https?://[^\\s\"']+[^/\\s\"']$", var.alma_mirror))
    error_message = "The alma_mirror must be the URL of the folder that holds BaseOS and AppStream, without a slash at its end."
  }
}

variable "kickstart_delivery" {
  type        = string
  description = "How the kickstart reaches the installer: http (from Packer's own server) or cd (a second CD labelled OEMDRV, needs no network)"
  default     = "http"

  validation {
    condition     = contains(["http", "cd"], var.kickstart_delivery)
    error_message = "The kickstart_delivery must be http or cd. With cd the guest needs no way back to this machine."
  }
}

variable "http_bind_address" {
  type        = string
  description = "Address of this machine that Packer's HTTP server listens on"
  default     = "0.0.0.0"

  validation {
    condition     = can(cidrhost("${var.http_bind_address}/32", 0))
    error_message = "The http_bind_address must be an IPv4 address of this machine, or 0.0.0.0 for all of them."
  }
}

variable "http_address" {
  type        = string
  description = "Address the guest is told to fetch the kickstart from; the one Packer finds when it is empty"
  default     = ""

  validation {
    condition     = var.http_address == "" || can(cidrhost("${var.http_address}/32", 0))
    error_message = "The http_address must be an IPv4 address of this machine that the guest can reach, without a port."
  }
}

variable "boot_wait" {
  type        = string
  description = "How long the firmware and the installer's menu take to show before keys are typed"
  default     = "10s"

  validation {
    condition     = can(regex("^[1-9][0-9]*s$", var.boot_wait))
    error_message = "The boot_wait must be a number of seconds, such as 10s. The menu starts by itself after 60 seconds."
  }
}

# --- the guest while it is built --------------------------------------------------------------------------------------

variable "build_ip" {
  type        = string
  description = "Address of the guest during the build: dhcp, or an address with its prefix length (e.g., 10.23.45.9/24)"
  default     = "dhcp"

  validation {
    condition     = var.build_ip == "dhcp" || (can(regex("^[0-9.]+/[0-9]+$", var.build_ip)) && can(cidrnetmask(var.build_ip)))
    error_message = "The build_ip must be dhcp, or an IPv4 address with its prefix length, such as 10.23.45.9/24."
  }
}

variable "build_gateway" {
  type        = string
  description = "Gateway that goes with a fixed build_ip"
  default     = ""

  validation {
    condition     = var.build_gateway == "" || can(cidrhost("${var.build_gateway}/32", 0))
    error_message = "The build_gateway must be an IPv4 address without a prefix length, such as 10.23.45.1."
  }
}

variable "build_nameserver" {
  type        = string
  description = "DNS server that goes with a fixed build_ip"
  default     = ""

  validation {
    condition     = var.build_nameserver == "" || can(cidrhost("${var.build_nameserver}/32", 0))
    error_message = "The build_nameserver must be the IPv4 address of a DNS server, such as 10.23.45.1."
  }
}

variable "build_run" {
  type        = string
  description = "Which run of the task builds it; its VM is marked so until it is a template"
  default     = ""

  validation {
    condition     = can(regex("^([0-9a-f]{8})?$", var.build_run))
    error_message = "The build_run must be empty or eight hexadecimal digits."
  }
}

variable "build_password" {
  type        = string
  description = "Password of root during the build; made anew for each build, and gone from the finished image"
  sensitive   = true

  # It goes into the kickstart as it is: no quote, space or backslash may end the line early.
  validation {
    condition     = can(regex("^[A-Za-z0-9_-]{12,64}$", var.build_password))
    error_message = "The build_password must be 12 to 64 letters, digits, hyphens and underscores."
  }
}

variable "ssh_timeout" {
  type        = string
  description = "How long the installation may take until SSH answers"
  default     = "2h"

  validation {
    condition     = can(regex("^[1-9][0-9]*[smh]$", var.ssh_timeout))
    error_message = "The ssh_timeout must be a number of seconds, minutes or hours, such as 45m or 2h."
  }
}

variable "cores" {
  type        = number
  description = "CPU cores during the build; a clone has its own"
  default     = 2

  validation {
    condition     = var.cores >= 1 && var.cores <= 64 && floor(var.cores) == var.cores
    error_message = "The cores must be a whole number from 1 to 64."
  }
}

variable "memory" {
  type        = number
  description = "RAM in MB during the build; a clone has its own"
  default     = 4096

  validation {
    condition     = var.memory >= 256 && floor(var.memory) == var.memory
    error_message = "The memory is in MB and must be a whole number; the installer of AlmaLinux 9 needs 2048 or more."
  }
}

# --- on this machine --------------------------------------------------------------------------------------------------

variable "goss_binary" {
  type        = string
  description = "Path of goss for Linux on the image's architecture, which checks the finished image from within"

  validation {
    condition     = length(var.goss_binary) > 0
    error_message = "The goss_binary must be the path of a goss for Linux (npm run setup -- --for image gets it)."
  }
}

variable "log_directory" {
  type        = string
  description = "Folder for the manifest, the serial console's log and the log of a step that failed"

  validation {
    condition     = length(var.log_directory) > 0
    error_message = "The log_directory must be the path of a folder."
  }
}

variable "verbose" {
  type        = bool
  description = "Show everything the provisioning scripts' commands print, not their messages alone"
  default     = false
}

# --- names ------------------------------------------------------------------------------------------------------------

# The builder's packer.pkr.hcl sets three more: image_dir (this image's folder), source (what is built) and builder (its name).
locals {
  image_name = var.image_version
  # Which build it is, as long as it is one: the task takes the last tag away again.
  image_tags        = concat(["alma9", "homelab", "k3s", var.arch], var.build_run == "" ? [] : ["run-${var.build_run}"])
  image_description = "Golden image ${var.image_version}: AlmaLinux 9 with k3s ${var.k3s_version}, made by homelab."
}

# --- installing -------------------------------------------------------------------------------------------------------

locals {
  serial_console = var.arch == "arm64" ? "ttyAMA0,115200n8" : "ttyS0,115200n8"
  static_address = var.build_ip != "dhcp"

  kickstart = templatefile("${local.image_dir}/http/ks.cfg.pkrtpl.hcl", {
    arch           = var.arch
    mirror         = var.alma_mirror
    password       = var.build_password
    serial_console = local.serial_console
    address        = local.static_address ? split("/", var.build_ip)[0] : ""
    netmask        = local.static_address ? cidrnetmask(var.build_ip) : ""
    gateway        = var.build_gateway
    nameserver     = var.build_nameserver
  })

  kickstart_files = { "ks.cfg" = local.kickstart }
  http_content    = var.kickstart_delivery == "http" ? { "/ks.cfg" = local.kickstart } : {}
  cd_content      = var.kickstart_delivery == "cd" ? local.kickstart_files : {}

  # What the installer is told on its command line. From an OEMDRV volume Anaconda takes ks.cfg by itself; over HTTP it needs
  # the network before it knows the kickstart, so a fixed address has to be given here as well.
  kickstart_url = "http://${var.http_address == "" ? "{{ .HTTPIP }}" : var.http_address}:{{ .HTTPPort }}/ks.cfg"
  network_args = local.static_address ? join(" ", compact([
    "ip=${split("/", var.build_ip)[0]}::${var.build_gateway}:${cidrnetmask(var.build_ip)}::eth0:none",
    var.build_nameserver == "" ? "" : "nameserver=${var.build_nameserver}",
  ])) : "ip=dhcp"
  installer_args = join(" ", concat(
    ["inst.text", "console=tty0", "console=${local.serial_console}", "net.ifnames=0"],
    var.kickstart_delivery == "http" ? ["inst.ks=${local.kickstart_url}", local.network_args] : [],
  ))

  # The menu's first entry installs at once, its second, the default, checks the medium for minutes first.
  boot_commands = {
    # GRUB: edit the entry, go to the end of the line that starts with linux, boot.
    uefi = ["<up><wait>", "e<wait2>", "<down><down><end><wait>", " ${local.installer_args}<wait>", "<leftCtrlOn>x<leftCtrlOff>"]
    # isolinux: edit the command line, boot.
    bios = ["<up><wait>", "<tab><wait>", " ${local.installer_args}<wait>", "<enter>"]
  }
  boot_command = local.boot_commands[var.firmware]
}

# --- provisioning -----------------------------------------------------------------------------------------------------

locals {
  # Tmpfs: nothing that is put there has to be removed from the disk again.
  build_dir = "/run/homelab-build"
  goss_dir  = "/run/homelab-goss"

  # In this order; the last one takes away what identifies the machine, and what let Packer in.
  steps = ["os-update", "guest-agent", "k3s-install", "hardening-oscap", "cleanup"]

  step_environment = {
    HOMELAB_LIB       = "${local.build_dir}/lib.sh"
    HOMELAB_VERBOSE   = var.verbose
    IMAGE_ARCH        = var.arch
    K3S_VERSION       = var.k3s_version
    K3S_RELEASES_URL  = var.k3s_releases_url
    AUTOMATIC_UPDATES = var.automatic_updates
    OSCAP             = var.oscap
  }

  # Through bash, so that it does not matter whether /run is mounted noexec.
  execute_command = "chmod 0600 {{ .Path }}; {{ .Vars }} bash {{ .Path }}"

  goss_variables = jsonencode({
    arch              = var.arch
    k3s_version       = var.k3s_version
    serial_console    = local.serial_console
    automatic_updates = var.automatic_updates
  })
}

build {
  name    = local.image_name
  sources = [local.source]

  provisioner "shell" {
    inline          = ["umask 077; mkdir -p ${local.build_dir} ${local.goss_dir}; : >${local.build_dir}/failed.log"]
    inline_shebang  = "/bin/sh -e"
    remote_folder   = "/run"
    execute_command = "{{ .Vars }} sh {{ .Path }}"
  }

  provisioner "file" {
    sources     = ["${local.image_dir}/scripts/lib.sh"]
    destination = "${local.build_dir}/"
  }

  provisioner "file" {
    source      = var.goss_binary
    destination = "${local.goss_dir}/goss"
  }

  provisioner "file" {
    source      = "${local.image_dir}/goss/goss.yaml"
    destination = "${local.goss_dir}/goss.yaml"
  }

  provisioner "shell" {
    scripts          = [for step in local.steps : "${local.image_dir}/scripts/${step}.sh"]
    environment_vars = [for name, value in local.step_environment : "${name}=${value}"]
    remote_folder    = "/run"
    execute_command  = local.execute_command
  }

  # The last one: the finished system is checked as it is. What fails is named, and no image comes out.
  provisioner "shell" {
    script           = "${local.image_dir}/scripts/verify.sh"
    environment_vars = ["GOSS_DIR=${local.goss_dir}", "GOSS_VARIABLES=${local.goss_variables}", "HOMELAB_LIB=${local.build_dir}/lib.sh"]
    remote_folder    = "/run"
    execute_command  = local.execute_command
  }

  # The guest goes away with its logs; the failed step's is kept.
  error-cleanup-provisioner "file" {
    direction   = "download"
    source      = "${local.build_dir}/failed.log"
    destination = "${var.log_directory}/failed-step.log"
  }

  post-processor "manifest" {
    output     = "${var.log_directory}/manifest.json"
    strip_path = false
    custom_data = {
      image_version = var.image_version
      k3s_version   = var.k3s_version
      arch          = var.arch
      firmware      = var.firmware
      builder       = local.builder
    }
  }
}
