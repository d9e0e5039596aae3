import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ARCHITECTURES, formatImageName, isImageName, parseImageName } from "../../lib/image-name.ts";

const version = fc.tuple(fc.nat(40), fc.nat(99), fc.nat(999)).map((parts) => `v${parts.join(".")}`);
const parts = fc.record({
  alma: fc.integer({ min: 1, max: 99 }),
  arch: fc.constantFrom(...ARCHITECTURES),
  kubernetes: version,
  revision: fc.integer({ min: 1, max: 99 }),
  release: fc.integer({ min: 1, max: 99_999 }),
});

/** What Proxmox takes as a VM's name: DNS labels of at most 63 characters, separated by dots. */
const DNS_NAME = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

test("Feature: homelab-infra, Property 1: Image naming convention consistency", () => {
  fc.assert(
    fc.property(parts, ({ alma, arch, kubernetes, revision, release }) => {
      const name = formatImageName({
        alma,
        arch,
        k3sVersion: `${kubernetes}+k3s${revision}`,
        release: `v${release}`,
      });
      assert.equal(name, `alma${alma}-k3-node-${arch}-${kubernetes}-v${release}`);
      assert.match(name, DNS_NAME);
      assert.deepEqual(parseImageName(name), { alma, arch, kubernetes, release });
    }),
    { numRuns: 500 },
  );
});

test("a name with anything added to it is no image name", () => {
  fc.assert(
    fc.property(
      parts,
      fc.string({ minLength: 1 }),
      fc.nat(),
      ({ alma, arch, kubernetes, release }, extra, at) => {
        const name = `alma${alma}-k3-node-${arch}-${kubernetes}-v${release}`;
        const index = at % (name.length + 1);
        const changed = name.slice(0, index) + extra + name.slice(index);
        if (!isImageName(changed)) return;
        // Digits slipped into a number make another valid name; it still has to survive the round trip.
        const parsed = parseImageName(changed);
        assert.equal(
          changed,
          `alma${parsed.alma}-k3-node-${parsed.arch}-${parsed.kubernetes}-v${parsed.release}`,
        );
      },
    ),
    { numRuns: 500 },
  );
});
