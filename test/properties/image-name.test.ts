import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { UsageError } from "../../lib/errors.ts";
import { ARCHITECTURES, formatImageName, isImageName, parseImageName } from "../../lib/image-name.ts";
import { mutantOf } from "../support/properties/mutant.ts";
import { changed, notices, type Violations } from "../support/properties/mutation.ts";
import { SEED } from "../support/properties/seed.ts";

const dir = mkdtempSync(join(tmpdir(), "homelab-image-name-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const version = fc.tuple(fc.nat(40), fc.nat(9999), fc.nat(9999)).map((numbers) => `v${numbers.join(".")}`);
const parts = fc.record({
  alma: fc.integer({ min: 1, max: 99 }),
  arch: fc.constantFrom(...ARCHITECTURES),
  kubernetes: version,
  revision: fc.integer({ min: 1, max: 9999 }),
  release: fc.integer({ min: 1, max: 99_999 }),
});

/** What Proxmox takes as a VM's name: DNS labels of at most 63 characters, separated by dots. */
const DNS_NAME = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const OPTIONS = { numRuns: 500, seed: SEED };

type ImageNames = typeof import("../../lib/image-name.ts");

/** Names from all combinations of parts; a shrunk counterexample where one is not as the convention has it. */
function nameViolations(format: ImageNames["formatImageName"]): Violations {
  const { counterexample, failed } = fc.check(
    fc.property(parts, ({ alma, arch, kubernetes, revision, release }) => {
      const k3sVersion = `${kubernetes}+k3s${revision}`;
      const name = format({ alma, arch, k3sVersion, release: `v${release}` });
      assert.equal(name, `alma${alma}-k3-node-${arch}-${kubernetes}-v${release}`);
      assert.match(name, DNS_NAME);
    }),
    OPTIONS,
  );
  return failed ? [`does not hold for ${JSON.stringify(counterexample)}, SEED=${SEED}`] : [];
}

test("Feature: homelab-infra, Property 1: Image naming convention consistency", () => {
  assert.deepEqual(nameViolations(formatImageName), []);
});

for (const [title, from, to] of [
  ["the architecture is left out", /-\$\{arch\}/, ""],
  ["underscores instead of hyphens", /-k3-node-/, "_k3_node_"],
  ["the release without its v", /-v(?=\$\{release\})/, "-"],
  ["the k3s version with its revision", /k3s\.kubernetes(?=\})/, "parts.k3sVersion"],
  ["one AlmaLinux for all", /`alma\$\{alma\}/, "`alma9"],
] as const) {
  notices(1, title, async () => {
    const broken = mutantOf(dir, "lib/image-name.ts", (text) => {
      const at = text.indexOf("  return `alma");
      return text.slice(0, at) + changed(text.slice(at), from, to);
    });
    return nameViolations(((await import(broken)) as ImageNames).formatImageName);
  });
}

test("a name that was made is read back as its parts", () => {
  fc.assert(
    fc.property(parts, ({ alma, arch, kubernetes, revision, release }) => {
      const name = formatImageName({ alma, arch, k3sVersion: `${kubernetes}+k3s${revision}`, release });
      assert.deepEqual(parseImageName(name), { alma, arch, kubernetes, release });
    }),
    OPTIONS,
  );
});

test("no part may bring anything with it that the name cannot hold", () => {
  const right = { alma: "9", arch: "amd64", k3sVersion: "v1.28.5+k3s1", release: "v1" };
  fc.assert(
    fc.property(
      fc.constantFrom("alma", "arch", "k3sVersion", "release"),
      fc.oneof(
        fc.string({ minLength: 1 }),
        fc.constantFrom(" ", "\n", "/", "..", ";reboot", "$(x)", "+", "0".repeat(70)),
      ),
      fc.boolean(),
      (part: keyof typeof right, extra, before) => {
        // More digits may make another number, and a v may be left out.
        if (/^[\dv]+$/.test(extra)) return;
        const changedPart = before ? extra + right[part] : right[part] + extra;
        assert.throws(() => formatImageName({ ...right, [part]: changedPart }), UsageError);
      },
    ),
    OPTIONS,
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
        const longer = name.slice(0, index) + extra + name.slice(index);
        if (!isImageName(longer)) return;
        // Digits slipped into a number make another valid name; it still has to survive the round trip.
        const parsed = parseImageName(longer);
        assert.equal(
          longer,
          `alma${parsed.alma}-k3-node-${parsed.arch}-${parsed.kubernetes}-v${parsed.release}`,
        );
      },
    ),
    OPTIONS,
  );
});
