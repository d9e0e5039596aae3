# One VM that is the whole cluster: k3s server and worker in one.
module "server" {
  source = "../../modules/proxmox-vm"

  name     = var.name
  template = var.template
  node     = var.node
  storage  = var.storage
  bridge   = var.bridge

  cores     = var.cores
  memory    = var.memory
  disk_size = var.disk_size
  cpu_type  = var.cpu_type
  tags      = var.tags
  started   = var.started

  ci_user    = var.ci_user
  ssh_pubkey = var.ssh_pubkey
  ip         = var.ip
  gateway    = var.gateway
  nameserver = var.nameserver

  user_data       = var.user_data
  snippet_storage = var.snippet_storage

  run = var.run
}
