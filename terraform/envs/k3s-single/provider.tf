provider "proxmox" {
  # PM_API_URL names the API itself, as Proxmox and Packer know it; the provider adds /api2/json on its own.
  endpoint  = trimsuffix(trimsuffix(var.pm_api_url, "/"), "/api2/json")
  api_token = "${var.pm_api_token_id}=${var.pm_api_token_secret}"
  insecure  = var.pm_tls_insecure
}
