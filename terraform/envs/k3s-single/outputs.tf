output "vm_id" {
  value       = module.server.vm_id
  description = "Proxmox VM ID"
}

output "ip_address" {
  value       = module.server.ip_address
  description = "VM IP address, with its prefix length as it was given"
}

output "kubectl_context" {
  value       = basename(abspath(path.root))
  description = "Context of this cluster in the kubeconfig: the environment's name"
}

output "vm_name" {
  value       = var.name
  description = "VM hostname, also the Kubernetes node's name"
}

output "node" {
  value       = var.node
  description = "Proxmox node the VM was made on"
}

output "template" {
  value       = var.template
  description = "Template for new VMs; a VM that exists keeps the one it was made from"
}

output "ci_user" {
  value       = var.ci_user
  description = "User that may log in by SSH"
}
