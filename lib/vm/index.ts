/** The inside of a VM: its first boot, cloud-init, k3s. */
export { waitForBoot, waitForCloudInit } from "./boot.ts";
export { K3S_YAML, k3sKubeconfig } from "./k3s.ts";
export { Vm } from "./vm.ts";
