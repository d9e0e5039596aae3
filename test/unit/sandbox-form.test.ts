import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseForm } from "../../lib/sandbox/api/body.ts";
import { findRoute } from "../../lib/sandbox/api/router.ts";

describe("parseForm", () => {
  for (const [form, params] of [
    ["", {}],
    ["name=a+b&cores=2", { name: "a b", cores: "2" }],
    ["net0=virtio%2Cbridge%3Dvmbr0", { net0: "virtio,bridge=vmbr0" }],
    // Clients that do not encode these lose what follows, on a real node as well.
    ["net0=virtio,bridge=vmbr0", { net0: "virtio,bridge" }],
    ["tags=a;b", { tags: "a", b: "" }],
    ["command=ls&command=-l", { command: ["ls", "-l"] }],
    ["name=100%", { name: "100%" }],
  ] as const) {
    test(`"${form}"`, () => assert.deepEqual(parseForm(form), params));
  }
});

describe("findRoute", () => {
  const table = {
    "GET /nodes/{node}/qemu/{vmid}": () => ({ data: null }),
    "GET /nodes/{node}/storage/{storage}/content/{volume}": () => ({ data: null }),
    "GET /nodes/{node}/storage/{storage}/content": () => ({ data: null }),
  };

  for (const [path, params] of [
    ["/nodes/pve/qemu/100/", { node: "pve", vmid: "100" }],
    ["//nodes//pve/qemu/100", { node: "pve", vmid: "100" }],
    [
      "/nodes/pve/storage/local/content/local:iso/a.iso",
      { node: "pve", storage: "local", volume: "local:iso/a.iso" },
    ],
    [
      "/nodes/pve/storage/local/content/local:iso%2Fa.iso",
      { node: "pve", storage: "local", volume: "local:iso/a.iso" },
    ],
    ["/nodes/pve/storage/local/content/", { node: "pve", storage: "local" }],
  ] as const) {
    test(path, () => assert.deepEqual(findRoute(table, "GET", path)?.params, params));
  }

  test("another method or a longer path is none", () => {
    assert.equal(findRoute(table, "PUT", "/nodes/pve/qemu/100"), undefined);
    assert.equal(findRoute(table, "GET", "/nodes/pve/qemu/100/x"), undefined);
  });
});
