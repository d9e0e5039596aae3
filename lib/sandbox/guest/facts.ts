import { isImageName, parseImageName } from "../../image-name.ts";
import { addressOf, hasIso, sshKeysOf } from "../operations/index.ts";
import type { GuestVm } from "../world/index.ts";

/** What a guest learns from its virtual hardware and its cloud-init drive at boot. */
export interface GuestFacts {
  readonly vmid: number;
  readonly hostname: string;
  /** IPv4; undefined for a VM that was told nothing about its network. */
  readonly address: string | undefined;
  readonly prefix: number;
  readonly mac: string;
  readonly user: string;
  /** Public keys that may log in, in OpenSSH's one-line form. */
  readonly keys: readonly string[];
  readonly cores: number;
  /** MiB */
  readonly memory: number;
  /** Of the image it was made from, for example "v1.35.6+k3s1". */
  readonly k3sVersion: string;
}

/** The user that AlmaLinux's cloud images have when cloud-init is told nothing else. */
const DEFAULT_USER = "almalinux";

/**
 * Whether a VM descends from one of our images, so that k3s is inside. One that bears an image's name is either that
 * image, on its way to a template, or still being built: then an installer is in its drive and nothing on its disk.
 */
export function isK3sGuest({ templateName, name, config }: GuestVm): boolean {
  if (templateName !== undefined) return isImageName(templateName);
  return isImageName(name) && !hasIso(config);
}

/** @param bridge address and prefix of the bridge, whose network lends addresses */
export function factsOf(vm: GuestVm, bridge: string): GuestFacts {
  const { config } = vm;
  const { ip = "" } = addressOf(config, 0);
  const [address, prefix] = (ip === "dhcp" ? lease(vm.vmid, bridge) : ip).split("/");
  const network = parseNetwork(config.net0 ?? "");
  return {
    vmid: vm.vmid,
    hostname: vm.name.replace(/\..*$/, ""),
    address: address && /^\d/.test(address) ? address : undefined,
    prefix: Number(prefix ?? 24),
    mac: network ?? "BC:24:11:00:00:00",
    user: config.ciuser ?? DEFAULT_USER,
    keys: sshKeysOf(config),
    cores: Number(config.cores ?? 1) * Number(config.sockets ?? 1),
    memory: Number(config.memory ?? 512),
    k3sVersion: k3sVersionOf(vm),
  };
}

/** What a DHCP server on the bridge would give a VM: always the same. */
function lease(vmid: number, bridge: string): string {
  const [address = "", prefix = "24"] = bridge.split("/");
  return `${address.replace(/\d+$/, String(100 + (vmid % 150)))}/${prefix}`;
}

/** The image's notes carry the whole version; its name lacks the revision. */
function k3sVersionOf({ templateName, name, config }: GuestVm): string {
  const noted = /\bv\d+\.\d+\.\d+\+k3s\d+\b/.exec(config.description ?? "")?.[0];
  return noted ?? `${parseImageName(templateName ?? name).kubernetes}+k3s1`;
}

function parseNetwork(net0: string): string | undefined {
  return /(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}/.exec(net0)?.[0];
}
