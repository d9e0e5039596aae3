import { createHash } from "node:crypto";
import { failure } from "../calls.ts";
import { namedKeys, parsePropertyString } from "../schema/index.ts";
import { nameOf, type Vm } from "../world/index.ts";
import { withPending } from "./context.ts";
import { isNicKey, parseNic } from "./network.ts";

export type CloudInitPart = "user" | "network" | "meta";

/** The cloud-init documents that the node generates from a VM's options. */
export function cloudInitPart(vm: Vm, part: CloudInitPart): string {
  if (part === "user") return userData(vm);
  if (part === "network") return networkData(vm);
  const seed = createHash("sha1").update(userData(vm)).update(networkData(vm)).digest("hex");
  return `instance-id: ${seed}\n`;
}

/** The options that the drive is generated from, as `GET …/cloudinit` lists them. */
export function cloudInitOptions(vm: Vm): { key: string; value: string }[] {
  const config = withPending(vm);
  const keys = ["ciuser", "cipassword", "nameserver", "searchdomain", "sshkeys", "ciupgrade", "cicustom"];
  return keys.flatMap((key) => {
    const value = key === "cipassword" && config[key] !== undefined ? "**********" : config[key];
    return value === undefined ? [] : [{ key, value }];
  });
}

/** A VM's address and gateway of one card, as ipconfigN has them. */
export function addressOf(config: Vm["config"], card: number): Readonly<Record<string, string>> {
  const key = `ipconfig${card}`;
  const text = config[key];
  return text === undefined ? {} : parsePropertyString(text, namedKeys("pve-qm-ipconfig"), key);
}

function userData(vm: Vm): string {
  const config = withPending(vm);
  const name = nameOf(vm);
  const domain = config.searchdomain?.split(/[\s,]+/)[0];
  const lines = [
    "#cloud-config",
    `hostname: ${name.replace(/\..*$/, "")}`,
    "manage_etc_hosts: true",
    `fqdn: ${domain === undefined || name.includes(".") ? name : `${name}.${domain}`}`,
  ];
  if (config.ciuser !== undefined) lines.push(`user: ${config.ciuser}`);
  const keys = sshKeysOf(config);
  if (keys.length > 0) lines.push("ssh_authorized_keys:", ...keys.map((key) => `  - ${key}`));
  lines.push("chpasswd:", "  expire: False", "users:", "  - default");
  lines.push(`package_upgrade: ${config.ciupgrade === "0" ? "false" : "true"}`);
  return lines.map((line) => `${line}\n`).join("");
}

/** The public keys of sshkeys, which is percent-encoded once more than everything else. */
export function sshKeysOf(config: Vm["config"]): string[] {
  if (config.sshkeys === undefined) return [];
  try {
    return decodeURIComponent(config.sshkeys)
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line !== "");
  } catch {
    throw failure("invalid urlencoded string in sshkeys");
  }
}

function networkData(vm: Vm): string {
  const config = withPending(vm);
  const lines = ["version: 1", "config:"];
  for (const key of Object.keys(config).filter(isNicKey).sort()) {
    const number = Number(key.slice(3));
    const { ip, gw } = addressOf(config, number);
    if (ip === undefined) continue;
    const mac = parseNic(key, config[key] ?? "").macaddr?.toLowerCase() ?? "";
    lines.push("    - type: physical", `      name: eth${number}`, `      mac_address: '${mac}'`);
    lines.push("      subnets:", ...subnet(ip, gw));
  }
  lines.push("    - type: nameserver", "      address:");
  for (const server of (config.nameserver ?? "127.0.0.1").split(/[\s,;]+/)) lines.push(`      - '${server}'`);
  if (config.searchdomain !== undefined) {
    lines.push(
      "      search:",
      ...config.searchdomain.split(/[\s,;]+/).map((domain) => `      - '${domain}'`),
    );
  }
  return lines.map((line) => `${line}\n`).join("");
}

function subnet(ip: string, gateway: string | undefined): string[] {
  if (ip === "dhcp") return ["      - type: dhcp4"];
  const [address = "", bits = "32"] = ip.split("/");
  const lines = [
    "      - type: static",
    `        address: '${address}'`,
    `        netmask: '${netmask(Number(bits))}'`,
  ];
  if (gateway !== undefined) lines.push(`        gateway: '${gateway}'`);
  return lines;
}

function netmask(bits: number): string {
  const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (mask >>> shift) & 0xff).join(".");
}
