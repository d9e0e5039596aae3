import fc from "fast-check";
import { SEED } from "./seed.ts";

/** The inputs of the VM module, as the specification has them. */
export interface VmInput {
  readonly name: string;
  readonly template: string;
  readonly node: string;
  readonly storage: string;
  readonly bridge: string;
  readonly cores: number;
  readonly memory: number;
  readonly disk_size: string;
  readonly ci_user: string;
  readonly ssh_pubkey: string;
  readonly ip: string;
  readonly gateway: string;
  readonly nameserver: string;
  readonly user_data: string;
}

/** What the node has that inputs may name. */
export interface Places {
  readonly node: string;
  readonly storages: readonly string[];
  readonly templates: readonly string[];
}

const label = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const name = fc.oneof(
  { weight: 4, arbitrary: label },
  { weight: 1, arbitrary: fc.array(label, { minLength: 2, maxLength: 3 }).map((labels) => labels.join(".")) },
);
const octet = fc.integer({ min: 0, max: 255 });

/** An address and a gateway in one network, neither of them the network's own nor its broadcast address. */
const network = fc
  .record({
    a: fc.integer({ min: 1, max: 223 }),
    b: octet,
    c: octet,
    d: octet,
    prefix: fc.integer({ min: 8, max: 30 }),
  })
  .chain(({ a, b, c, d, prefix }) => {
    const hosts = 2 ** (32 - prefix) - 2;
    const whole = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
    const base = ((whole >>> (32 - prefix)) << (32 - prefix)) >>> 0;
    const address = (host: number): string =>
      [24, 16, 8, 0].map((bits) => ((base + host) >>> bits) & 255).join(".");
    return fc
      .uniqueArray(fc.integer({ min: 1, max: hosts }), { minLength: 2, maxLength: 2 })
      .map(([own = 1, other = 2]) => ({ ip: `${address(own)}/${prefix}`, gateway: address(other) }));
  });

const key = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((bytes) =>
    Buffer.concat([Buffer.from("0000000b7373682d6564323535313900000020", "hex"), bytes]).toString("base64"),
  );

/** Any VM that can be asked for on a node. */
function vmInput({ node, storages, templates }: Places): fc.Arbitrary<VmInput> {
  return fc
    .record({
      name,
      template: fc.constantFrom(...templates),
      node: fc.constant(node),
      storage: fc.constantFrom(...storages),
      bridge: fc.oneof(fc.constant("vmbr0"), fc.stringMatching(/^[A-Za-z][A-Za-z0-9_.-]{0,13}[A-Za-z0-9]$/)),
      cores: fc.integer({ min: 1, max: 128 }),
      memory: fc.integer({ min: 512, max: 4_178_944 }),
      // The embedded node's images grow up to 4 TB.
      disk_size: fc.oneof(
        fc.integer({ min: 1, max: 4096 }).map((size) => `${size}G`),
        fc.integer({ min: 1, max: 4 }).map((size) => `${size}T`),
      ),
      ci_user: fc.stringMatching(/^[a-z_][a-z0-9_-]{0,31}$/).filter((user) => user !== "root"),
      ssh_pubkey: fc
        .tuple(key, fc.constantFrom("", " ann@laptop", " a key\n", " 100% ann+bob = ünsere; key"))
        .map(([blob, rest]) => `ssh-ed25519 ${blob}${rest}`),
      nameserver: fc.oneof(
        { weight: 4, arbitrary: fc.ipV4() },
        { arbitrary: fc.constant("2606:4700:4700::1111"), weight: 1 },
      ),
      user_data: fc.oneof(fc.constant(""), fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}\.ya?ml$/)),
    })
    .chain((vm) => network.map((each) => ({ ...vm, ...each })));
}

/** So many generated VMs, no two of one name. */
export function generateVms(count: number, places: Places): VmInput[] {
  const options = { minLength: count, maxLength: count, selector: (vm: VmInput) => vm.name };
  return fc.sample(fc.uniqueArray(vmInput(places), options), { numRuns: 1, seed: SEED })[0] ?? [];
}
