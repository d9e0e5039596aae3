output "vm_id" {
  value       = proxmox_virtual_environment_vm.vm.vm_id
  description = "Proxmox VM ID"
}

output "ip_address" {
  value       = var.ip
  description = "VM IP address"
}
