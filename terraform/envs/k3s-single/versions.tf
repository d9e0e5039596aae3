terraform {
  required_version = ">= 1.10.0"

  required_providers {
    proxmox = {
      source  = "bpg/proxmox"
      version = "~> 0.111"
    }
  }

  # terraform.tfstate in this folder, unless `init -backend-config=path=…` says otherwise (the sandbox's state lies with
  # the sandbox). Another backend goes into backend_override.tf.
  backend "local" {}
}
