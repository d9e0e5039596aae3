import { changed } from "./mutation.ts";
import type { CHECKS } from "./vm-checks.ts";
import type { Call, Edit } from "./vm-deployment.ts";

/** A way to break the VM module or the environment around it. */
export interface VmMutation {
  readonly property: keyof typeof CHECKS;
  readonly title: string;
  readonly what: Call["what"];
  readonly mutate: (edit: Edit) => void;
}

type Change = (text: string) => string;

const MODULE = "modules/proxmox-vm";
const ENVIRONMENT = "envs/k3s-single";

const swap =
  (from: string | RegExp, to: string): Change =>
  (text) =>
    changed(text, from, to);

/** Remove a block that begins a line, whatever is in it. */
const without = (head: string): Change => {
  const escaped = head.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return swap(new RegExp(`^( *)${escaped} \\{\\n[\\s\\S]*?^\\1\\}\\n`, "m"), "");
};

function inModule(
  property: VmMutation["property"],
  title: string,
  change: Change,
  file = "main.tf",
): VmMutation {
  return { property, title, what: "module", mutate: (edit) => edit(`${MODULE}/${file}`, change) };
}

function inEnvironment(title: string, change: Change): VmMutation {
  return {
    property: 4,
    title,
    what: "environment",
    mutate: (edit) => edit(`${ENVIRONMENT}/outputs.tf`, change),
  };
}

const CLONE_ID = "vm_id        = local.template_id";

export const VM_MUTATIONS: readonly VmMutation[] = [
  inModule(2, "any template is cloned", swap(CLONE_ID, "vm_id = local.templates[0].vm_id")),
  inModule(2, "the newest template is cloned", swap(CLONE_ID, "vm_id = max(local.templates[*].vm_id...)")),
  inModule(2, "nothing is cloned", without("clone")),

  inModule(3, "another hostname", swap(/^ {2}name {8}= var\.name$/m, '  name = join("-", [var.name, "1"])')),
  inModule(3, "a user of its own", swap("username = var.ci_user", 'username = "cloud-user"')),
  inModule(3, "no SSH key", swap("[trimspace(var.ssh_pubkey)]", "[]")),
  inModule(
    3,
    "the key without its comment",
    swap("[trimspace(var.ssh_pubkey)]", '[join(" ", slice(split(" ", trimspace(var.ssh_pubkey)), 0, 2))]'),
  ),
  inModule(3, "another address", swap("address = var.ip", 'address = join("/", [var.gateway, "24"])')),
  inModule(
    3,
    "a password",
    swap("username = var.ci_user", 'username = var.ci_user\n      password = "let-me-in"'),
  ),
  inModule(3, "no gateway", swap(/^ +gateway = var\.gateway\n/m, "")),
  inModule(3, "no name server", without("dns")),

  inEnvironment("no address among the outputs", without('output "ip_address"')),
  inEnvironment("no context among the outputs", without('output "kubectl_context"')),
  inEnvironment("one context for every environment", swap("basename(abspath(path.root))", '"default"')),
  inEnvironment("the gateway instead of the address", swap("module.server.ip_address", "var.gateway")),

  inModule(
    5,
    "a second disk",
    swap(
      /^ {2}disk \{/m,
      '  disk {\n    interface = "scsi1"\n    datastore_id = var.storage\n    size = 1\n    ssd = true\n    discard = "on"\n  }\n\n  disk {',
    ),
  ),
  inModule(5, "no SSD emulation", swap(/ssd( +)= true/, "ssd$1= false")),
  inModule(5, "discard is ignored", swap(/discard( +)= "on"/, 'discard$1= "ignore"')),
  inModule(5, "the cloud-init drive on the SCSI bus", swap('interface    = "ide2"', 'interface = "scsi1"')),

  inModule(
    6,
    "a second interface",
    swap(
      /^ {2}network_device \{/m,
      '  network_device {\n    model = "virtio"\n    bridge = var.bridge\n  }\n\n  network_device {',
    ),
  ),
  inModule(6, "another model", swap('model  = "virtio"', 'model = "e1000"')),
  inModule(6, "one bridge for all", swap("bridge = var.bridge", 'bridge = "vmbr0"')),
  inModule(6, "no interface", without("network_device")),
  inModule(
    6,
    "an unplugged interface",
    swap("bridge = var.bridge", "bridge = var.bridge\n    disconnected = true"),
  ),
  inModule(
    6,
    "another network on the bridge",
    swap("bridge = var.bridge", "bridge = var.bridge\n    vlan_id = 7"),
  ),

  inModule(7, "user data is never used", swap(/user_data_file_id = .*/, "user_data_file_id = null")),
  inModule(
    7,
    "user data is always used",
    swap(/user_data_file_id = .*/, 'user_data_file_id = "local:snippets/k3s.yaml"'),
  ),
  inModule(7, "user data as vendor data", swap("user_data_file_id =", "vendor_data_file_id =")),

  inModule(8, "no vm_id among the outputs", without('output "vm_id"'), "outputs.tf"),
  inModule(8, "no ip_address among the outputs", without('output "ip_address"'), "outputs.tf"),
  inModule(
    8,
    "the template's id as vm_id",
    swap(/proxmox_virtual_environment_vm\.vm\.vm_id/, "local.template_id"),
    "outputs.tf",
  ),
  inModule(8, "the address without its prefix", swap("= var.ip", '= split("/", var.ip)[0]'), "outputs.tf"),
];
