terraform {
  # Validations that look at other variables (the gateway at the address) and mocked providers in tests need this.
  required_version = ">= 1.10.0"

  required_providers {
    proxmox = {
      source = "bpg/proxmox"
      # The resource used here loses its name at 1.0, and 0.x releases may break: minor versions are taken one by one.
      version = "~> 0.111"
    }
  }
}
