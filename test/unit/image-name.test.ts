import assert from "node:assert/strict";
import { test } from "node:test";
import { UsageError } from "../../lib/errors.ts";
import { formatImageName, isImageName, parseImageName, parseK3sVersion } from "../../lib/image-name.ts";

test("formatImageName gives the specification's example", () => {
  const name = formatImageName({ alma: 9, arch: "amd64", k3sVersion: "v1.28.5+k3s1", release: "v1" });
  assert.equal(name, "alma9-k3-node-amd64-v1.28.5-v1");
});

test("parseImageName takes a name apart", () => {
  assert.deepEqual(parseImageName("alma9-k3-node-arm64-v1.35.6-v12"), {
    alma: 9,
    arch: "arm64",
    kubernetes: "v1.35.6",
    release: 12,
  });
});

for (const [what, parts] of [
  ["an AlmaLinux minor version", { alma: "9.4" }],
  ["no AlmaLinux version", { alma: "" }],
  ["an unknown architecture", { arch: "riscv64" }],
  ["a k3s version without its revision", { k3sVersion: "v1.28.5" }],
  ["a release candidate", { k3sVersion: "v1.28.5-rc1+k3s1" }],
  ["a version with a leading zero", { k3sVersion: "v1.028.5+k3s1" }],
  ["release 0", { release: "v0" }],
  ["a release too long for a DNS label", { release: `v${"9".repeat(70)}` }],
  ["a shell metacharacter", { release: "v1;reboot" }],
] as const) {
  test(`formatImageName refuses ${what}`, () => {
    const good = { alma: 9, arch: "amd64", k3sVersion: "v1.28.5+k3s1", release: "v1" };
    assert.throws(() => formatImageName({ ...good, ...parts }), UsageError);
  });
}

for (const name of [
  "",
  "alma9",
  "alma9-k3-node-amd64-v1.28.5",
  "alma9-k3-node-amd64-v1.28-v1",
  "x alma9-k3-node-amd64-v1.28.5-v1",
]) {
  test(`parseImageName refuses "${name}" with an example`, () => {
    assert.throws(
      () => parseImageName(name),
      (error: unknown) => {
        assert(error instanceof UsageError);
        assert.match(error.todo.join(), /alma9-k3-node-amd64-v1\.28\.5-v1/);
        return true;
      },
    );
    assert.equal(isImageName(name), false);
  });
}

test("parseK3sVersion separates the revision", () => {
  assert.deepEqual(parseK3sVersion("v1.35.6+k3s2"), { kubernetes: "v1.35.6", revision: 2 });
});
