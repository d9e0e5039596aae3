import type { GuestFacts } from "./facts.ts";

/** What the guest agent reports of the network: loopback and the one card, as a Linux guest's does. */
export function networkInterfaces({
  mac,
  address,
  prefix,
}: Pick<GuestFacts, "mac" | "address" | "prefix">): unknown {
  const statistics = {
    "rx-bytes": 0,
    "rx-dropped": 0,
    "rx-errs": 0,
    "rx-packets": 0,
    "tx-bytes": 0,
    "tx-dropped": 0,
    "tx-errs": 0,
    "tx-packets": 0,
  };
  const loopback = {
    name: "lo",
    "hardware-address": "00:00:00:00:00:00",
    "ip-addresses": [
      { "ip-address": "127.0.0.1", "ip-address-type": "ipv4", prefix: 8 },
      { "ip-address": "::1", "ip-address-type": "ipv6", prefix: 128 },
    ],
    statistics,
  };
  const card = {
    name: "eth0",
    "hardware-address": mac.toLowerCase(),
    "ip-addresses": [
      ...(address === undefined ? [] : [{ "ip-address": address, "ip-address-type": "ipv4", prefix }]),
      { "ip-address": linkLocal(mac), "ip-address-type": "ipv6", prefix: 64 },
    ],
    statistics,
  };
  return [loopback, card];
}

/** AlmaLinux 9, said to be simulated. */
export const osInfo = {
  id: "almalinux",
  name: "AlmaLinux",
  "pretty-name": "AlmaLinux 9 (simulated)",
  version: "9 (simulated)",
  "version-id": "9",
  machine: "x86_64",
  "kernel-release": "none",
  "kernel-version": "simulated: no kernel runs",
};

/** The address that a card gives itself from its MAC (EUI-64). */
function linkLocal(mac: string): string {
  const bytes = mac.split(":").map((pair) => Number.parseInt(pair, 16));
  const [first = 0, ...rest] = bytes;
  const eui = [first ^ 2, rest[0] ?? 0, rest[1] ?? 0, 0xff, 0xfe, ...rest.slice(2)];
  const groups = [0, 2, 4, 6].map((at) => (((eui[at] ?? 0) << 8) | (eui[at + 1] ?? 0)).toString(16));
  return `fe80::${groups.join(":")}`;
}
