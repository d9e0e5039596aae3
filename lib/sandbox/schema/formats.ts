import { isIP, isIPv4, isIPv6 } from "node:net";
import { CPU_MODELS } from "./cpu-models.ts";
import { parseDiskSize } from "./disk-size.ts";
import { FormatError } from "./format-error.ts";

/** Returns the complaint about a value, undefined when it is right. */
type Check = (value: string) => string | undefined;

const DNS_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?";
const DNS_NAME = new RegExp(`^(?:${DNS_LABEL}\\.)*${DNS_LABEL}$`);
const VOLUME_ID = /^[a-z][a-z0-9._-]*[a-z0-9]:.+$/i;
const USER_ID = /^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+$/;
const TOKEN_ID = /^[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+$/;
const BOOT_DEVICE = /^(?:ide|sata|scsi|virtio|net|usb|hostpci)\d+$/;

const volumeId: Check = (value) =>
  VOLUME_ID.test(value) ? undefined : `unable to parse volume ID '${value}'\n`;

const CHECKS: Readonly<Record<string, Check>> = {
  CIDR: matching(
    (value) => isNetwork(value, 4) || isNetwork(value, 6),
    "value does not look like a valid CIDR network",
  ),
  address: matching(
    (value) => isIP(value) !== 0 || DNS_NAME.test(value),
    "value does not look like a valid network address",
  ),
  "disk-size": (value) =>
    parseDiskSize(value) === undefined ? `value does not look like a valid disk size: ${value}\n` : undefined,
  "dns-name": matching((value) => DNS_NAME.test(value), "value does not look like a valid DNS name"),
  "email-opt": matching(
    (value) => value === "" || /^[^\s@]+@[^\s@]+$/.test(value),
    "value does not look like a valid email address",
  ),
  ipv4: matching(isIPv4, "value does not look like a valid ipv4 address"),
  ipv6: matching(isIPv6, "value does not look like a valid ipv6 address"),
  "mac-addr": matching(
    (value) => /^[a-f0-9][02468ace](?::[a-f0-9]{2}){5}$/i.test(value),
    "value does not look like a valid unicast MAC address",
  ),
  "pve-bridge-id": (value) => (/^[-_.\w]+$/.test(value) ? undefined : `invalid bridge ID '${value}'\n`),
  "pve-configid": (value) =>
    /^[a-z][a-z0-9_-]+$/i.test(value) ? undefined : `invalid configuration ID '${value}'\n`,
  "pve-groupid": (value) =>
    /^[A-Za-z0-9._-]+$/.test(value) ? undefined : `group name '${value}' contains invalid characters\n`,
  "pve-ipv4-config": matching(
    (value) => value === "dhcp" || isNetwork(value, 4),
    "value does not look like a valid ipv4 network configuration",
  ),
  "pve-ipv6-config": matching(
    (value) => value === "dhcp" || value === "auto" || isNetwork(value, 6),
    "value does not look like a valid ipv6 network configuration",
  ),
  "pve-node": matching(
    (value) => /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/i.test(value),
    "value does not look like a valid node name",
  ),
  "pve-poolid": (value) =>
    /^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+){0,2}$/.test(value)
      ? undefined
      : `value '${value}' does not look like a valid pool name\n`,
  "pve-qm-bootdev": (value) => (BOOT_DEVICE.test(value) ? undefined : `invalid boot device '${value}'\n`),
  "pve-roleid": matching(
    (value) => /^[A-Za-z0-9._-]+$/.test(value),
    "value does not look like a valid role name",
  ),
  "pve-storage-content": (value) =>
    /^(?:backup|images|import|iso|rootdir|snippets|vztmpl|none)$/.test(value)
      ? undefined
      : `invalid content type '${value}'\n`,
  "pve-storage-id": (value) =>
    /^[a-z][a-z0-9._-]*[a-z0-9]$/i.test(value)
      ? undefined
      : `storage ID '${value}' contains illegal characters\n`,
  "pve-tag": matching((value) => /^[a-z0-9_][a-z0-9_\-+.]*$/i.test(value), "invalid characters in tag"),
  "pve-tokenid": (value) =>
    TOKEN_ID.test(value) ? undefined : `value '${value}' does not look like a valid token ID\n`,
  "pve-userid": (value) =>
    USER_ID.test(value) ? undefined : `value '${value}' does not look like a valid user name\n`,
  "pve-vm-cpu-conf": (value) => {
    const model = cpuModelOf(value);
    if (CPU_MODELS.has(model) || model.startsWith("custom-")) return undefined;
    return `Built-in cputype '${model}' is not defined (missing 'custom-' prefix?)\n`;
  },
  "pve-vmid": matching((value) => /^[1-9]\d{2,8}$/.test(value), "value does not look like a valid VM ID"),
  "pve-volume-id": volumeId,
  "pve-volume-id-or-absolute-path": (value) => (value.startsWith("/") ? undefined : volumeId(value)),
  "pve-volume-id-or-qm-path": (value) =>
    value === "none" || value === "cdrom" || value.startsWith("/") ? undefined : volumeId(value),
  urlencoded: (value) =>
    /^[-%a-zA-Z0-9_.!~*'()]*$/.test(value) ? undefined : `invalid urlencoded string: ${value}\n`,
};

/**
 * Check a value against a named format; "NAME-list" takes several. Formats of devices that the sandbox does not
 * simulate (passed-through hardware, watchdogs) are not checked.
 * @throws {FormatError}
 */
export function checkFormat(format: string, value: string): void {
  const list = /^(?<item>.+)-list$/.exec(format)?.groups?.item;
  const values = list === undefined ? [value] : value.split(/[,;\s\0]+/).filter((item) => item !== "");
  for (const item of values) {
    const complaint = CHECKS[list ?? format]?.(item);
    if (complaint !== undefined) throw new FormatError(complaint);
  }
}

function matching(test: (value: string) => boolean, complaint: string): Check {
  return (value) => (test(value) ? undefined : `${complaint}\n`);
}

/** The model stands first, or as cputype=MODEL. */
function cpuModelOf(value: string): string {
  const parts = value.split(",");
  const typed = parts.find((part) => part.startsWith("cputype="));
  return typed?.slice("cputype=".length) ?? parts.find((part) => !part.includes("=")) ?? "kvm64";
}

function isNetwork(value: string, family: 4 | 6): boolean {
  const { address, bits } = /^(?<address>[^/]+)\/(?<bits>\d{1,3})$/.exec(value)?.groups ?? {};
  if (address === undefined || bits === undefined) return false;
  return isIP(address) === family && Number(bits) >= 1 && Number(bits) <= (family === 4 ? 32 : 128);
}
