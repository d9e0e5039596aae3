import type { PropertySchemas } from "./types.ts";
import vmConfig from "./vm-config.json" with { type: "json" };

const text = { type: "string", optional: 1 } as const;
const volume = { ...text, format: "pve-volume-id" } as const;

/** Property strings that the API's schema only calls by name. */
const NAMED: Readonly<Record<string, PropertySchemas>> = {
  "pve-qm-boot": {
    legacy: { ...text, default_key: 1, pattern: "[acdn]{1,4}" },
    order: { ...text, format: "pve-qm-bootdev-list" },
  },
  "pve-qm-cicustom": { meta: volume, network: volume, user: volume, vendor: volume },
  "pve-qm-ide": vmConfig["ide[n]"].format as unknown as PropertySchemas,
  "pve-qm-ipconfig": {
    gw: { ...text, format: "ipv4", requires: "ip" },
    gw6: { ...text, format: "ipv6", requires: "ip6" },
    ip: { ...text, format: "pve-ipv4-config" },
    ip6: { ...text, format: "pve-ipv6-config" },
  },
  "pve-qm-smbios1": {
    base64: { type: "boolean", optional: 1 },
    family: text,
    manufacturer: text,
    product: text,
    serial: text,
    sku: text,
    uuid: { ...text, pattern: "[a-fA-F0-9]{8}(?:-[a-fA-F0-9]{4}){3}-[a-fA-F0-9]{12}" },
    version: text,
  },
};

/** The keys of a property string that is known by name. */
export function named(format: unknown): PropertySchemas | undefined {
  return typeof format === "string" && Object.hasOwn(NAMED, format) ? NAMED[format] : undefined;
}

/** The same for a format that must be known. */
export function namedKeys(format: string): PropertySchemas {
  const keys = named(format);
  if (keys === undefined) throw new Error(`no property string is called ${format}`);
  return keys;
}
