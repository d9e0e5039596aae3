import type { Violations } from "./mutation.ts";
import type { VmInput } from "./vm-inputs.ts";

/** A VM as the node's API shows it. */
export interface VmOnNode {
  readonly vmid: number;
  readonly config: Readonly<Record<string, string>>;
  /** The VM that it was cloned from, by the log of the node's task. */
  readonly clonedFrom: number | undefined;
}

/** What became of one set of inputs. */
export interface Outcome {
  readonly input: VmInput;
  /** The VMs of its name. */
  readonly vms: readonly VmOnNode[];
  /** Ids of the node's templates by name. */
  readonly templates: ReadonlyMap<string, number>;
  /** What the VM module told. */
  readonly module: Readonly<Record<string, unknown>>;
  /** What the environment around it told, and the environment's name. */
  readonly environment: Readonly<Record<string, unknown>>;
  readonly environmentName: string;
}

/** What an interface consists of: its model with an address of its own, and where it is plugged in. */
const NIC_PARTS: ReadonlySet<string> = new Set(["virtio", "model", "macaddr", "bridge"]);

type Check = (outcome: Outcome, vm: VmOnNode) => readonly (string | false)[];

/** A check of every outcome; each needs exactly one VM of its name. */
function ofEach(check: Check): (outcomes: readonly Outcome[]) => Violations {
  return (outcomes) =>
    outcomes.flatMap((outcome) => {
      const [vm, ...more] = outcome.vms;
      const found =
        vm === undefined || more.length > 0
          ? [`there are ${outcome.vms.length} VMs of that name`]
          : check(outcome, vm).filter((violation) => violation !== false);
      return found.map((violation) => `${violation}: ${JSON.stringify(outcome.input)}`);
    });
}

function differs(what: string, is: unknown, wanted: unknown): string | false {
  return is !== wanted && `${what} is ${JSON.stringify(is)}, not ${JSON.stringify(wanted)}`;
}

/** A property string of the API: "virtio=AA:BB,bridge=vmbr0". A part without a key is called "". */
function partsOf(text = ""): Readonly<Record<string, string>> {
  const pairs = text.split(",").map((part): [string, string] => {
    const at = part.indexOf("=");
    return at === -1 ? ["", part] : [part.slice(0, at), part.slice(at + 1)];
  });
  return Object.fromEntries(pairs);
}

function namesLike(form: RegExp, { config }: VmOnNode): string[] {
  return Object.keys(config).filter((name) => form.test(name));
}

const isCdrom = (text = ""): boolean => partsOf(text).media === "cdrom";

/** The checks of the properties 2 to 8 by number; each answers with what is wrong. */
export const CHECKS = {
  2: ofEach(({ input, templates }, vm) => [
    differs("the VM it was cloned from", vm.clonedFrom, templates.get(input.template)),
  ]),

  3: ofEach(({ input }, { config }) => {
    const address = partsOf(config.ipconfig0);
    return [
      differs("the hostname", config.name, input.name),
      differs("the user", config.ciuser, input.ci_user),
      differs("the key", decodeURIComponent(config.sshkeys ?? "").trim(), input.ssh_pubkey.trim()),
      differs("the address", address.ip, input.ip),
      differs("the gateway", address.gw, input.gateway),
      differs("the name server", config.nameserver, input.nameserver),
      // What nobody has asked for: a password would open a way in.
      differs("a password", config.cipassword, undefined),
      differs("the parts of the address", Object.keys(address).sort().join(), "gw,ip"),
      !Object.values(config).some((text) => /cloudinit/.test(text) && isCdrom(text)) &&
        "nothing gives it to the guest: there is no cloud-init drive",
    ];
  }),

  4: ofEach(({ input, environment, environmentName }) => [
    differs("ip_address", environment.ip_address, input.ip),
    differs("kubectl_context", environment.kubectl_context, environmentName),
  ]),

  5: ofEach(({ input }, vm) => {
    const scsi = namesLike(/^scsi\d+$/, vm);
    const others = namesLike(/^(?:virtio|sata|ide)\d+$/, vm).filter((name) => !isCdrom(vm.config[name]));
    const disk = vm.config[scsi[0] ?? ""] ?? "";
    const { ssd, discard, size = "" } = partsOf(disk);
    return [
      differs("the number of SCSI drives", scsi.length, 1),
      differs("the number of other disks", others.length, 0),
      differs("ssd", ssd, "1"),
      differs("discard", discard, "on"),
      differs("the disk's size", gigabytes(size), gigabytes(input.disk_size)),
      !disk.startsWith(`${input.storage}:`) && `the disk is not on ${input.storage}: ${disk}`,
    ];
  }),

  6: ofEach(({ input }, vm) => {
    const nics = namesLike(/^net\d+$/, vm);
    const nic = partsOf(vm.config[nics[0] ?? ""]);
    return [
      differs("the number of interfaces", nics.length, 1),
      !("virtio" in nic || nic.model === "virtio") &&
        `the interface is no virtio one: ${JSON.stringify(nic)}`,
      differs("the bridge", nic.bridge, input.bridge),
      ...Object.entries(nic).map(
        ([key, value]) =>
          !NIC_PARTS.has(key) &&
          !(key === "firewall" && value === "0") &&
          `the interface has ${key}=${value}, which nobody has asked for`,
      ),
    ];
  }),

  7: ofEach(({ input: { user_data } }, { config }) => [
    differs("cicustom", config.cicustom, user_data === "" ? undefined : `user=local:snippets/${user_data}`),
  ]),

  8: ofEach(({ input, module }, { vmid }) => [
    differs("vm_id", module.vm_id, vmid),
    differs("ip_address", module.ip_address, input.ip),
  ]),
} as const satisfies Record<number, (outcomes: readonly Outcome[]) => Violations>;

function gigabytes(size: string): number {
  return Number.parseInt(size, 10) * (size.endsWith("T") ? 1024 : 1);
}
