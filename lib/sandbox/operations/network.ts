import { randomBytes } from "node:crypto";
import { demand, type Guard } from "../permissions.ts";
import {
  optionSchema,
  type PropertySchemas,
  parsePropertyString,
  printPropertyString,
} from "../schema/index.ts";

/** A network card's settings by key. */
export type Nic = Readonly<Record<string, string>>;

/** The prefix that belongs to Proxmox. */
const MAC_PREFIX = "BC:24:11";

export function isNicKey(key: string): boolean {
  return /^net\d+$/.test(key);
}

export function parseNic(key: string, text: string): Nic {
  return parsePropertyString(text, schemas(), key);
}

export function printNic(nic: Nic): string {
  return printPropertyString(nic, schemas());
}

/** A network card with an address of its own, a new one where it has none. */
export function withMac(nic: Nic): Nic {
  return { ...nic, macaddr: nic.macaddr?.toUpperCase() ?? randomMac() };
}

/** A new address, as the node gives them out. */
export function randomMac(): string {
  const tail = [...randomBytes(3)].map((byte) => byte.toString(16).toUpperCase().padStart(2, "0"));
  return [MAC_PREFIX, ...tail].join(":");
}

/**
 * Whoever connects a VM to a bridge needs the right to use the bridge's zone.
 * @throws {ApiError} 403
 */
export function demandBridge(guard: Guard, nic: Nic): void {
  if (nic.bridge === undefined) return;
  const path = `/sdn/zones/localnetwork/${nic.bridge}`;
  demand(guard, nic.tag === undefined ? path : `${path}/${nic.tag}`, ["SDN.Use"]);
}

function schemas(): PropertySchemas {
  const format = optionSchema("net0")?.format;
  if (typeof format !== "object") throw new Error("net0 has no property schema");
  return format;
}
