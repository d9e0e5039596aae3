import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { routes } from "../../lib/sandbox/api/index.ts";
import {
  formatDiskSize,
  optionSchema,
  parseDiskSize,
  parsePropertyString,
  printPropertyString,
  routeNames,
  routeSchema,
  validate,
} from "../../lib/sandbox/schema/index.ts";
import { realParameters, recordingsMissing } from "../support/contract/recordings.ts";

function keysOf(option: string) {
  const format = optionSchema(option)?.format;
  assert.ok(typeof format === "object");
  return format;
}

function errorsOf(route: string, params: Record<string, string>): Readonly<Record<string, string>> {
  const checked = validate(routeSchema(route), params);
  return "errors" in checked ? checked.errors : {};
}

describe("the routes", () => {
  test("each has a handler and a schema", () => {
    assert.deepEqual(Object.keys(routes).sort(), [...routeNames()].sort());
  });

  test("each, and each of its parameters, exists in the real API", { skip: recordingsMissing }, () => {
    const real = realParameters();
    for (const name of routeNames()) {
      const known = real.get(name);
      assert.ok(known, `the real API has no ${name}`);
      const own = Object.keys(routeSchema(name).properties);
      assert.deepEqual(
        own.filter((parameter) => !known.has(parameter)),
        [],
        name,
      );
    }
  });

  test("the options of a VM are those that the real API takes", { skip: recordingsMissing }, () => {
    const real = realParameters().get("PUT /nodes/{node}/qemu/{vmid}/config") ?? new Set();
    for (const parameter of real) {
      const option = parameter.replace("[n]", "0");
      const errors = errorsOf("PUT /nodes/{node}/qemu/{vmid}/config", { [option]: "" });
      assert.notEqual(errors[option]?.startsWith("property is not defined"), true, option);
    }
  });
});

describe("validate", () => {
  const CONFIG = "PUT /nodes/{node}/qemu/{vmid}/config";
  const path = { node: "pve", vmid: "100" };

  test("takes the limits of numbered options", () => {
    assert.deepEqual(errorsOf(CONFIG, { ...path, scsi30: "vmdata:1", net31: "virtio" }), {});
    assert.match(errorsOf(CONFIG, { ...path, scsi31: "vmdata:1" }).scsi31 ?? "", /^property is not defined/);
    assert.match(errorsOf(CONFIG, { ...path, net32: "virtio" }).net32 ?? "", /^property is not defined/);
    assert.match(errorsOf(CONFIG, { ...path, net01: "virtio" }).net01 ?? "", /^property is not defined/);
  });

  test("names every parameter that is wrong or missing", () => {
    assert.deepEqual(errorsOf("POST /nodes/{node}/qemu/{vmid}/clone", { ...path, full: "maybe" }), {
      full: "type check ('boolean') failed - got 'maybe'",
      newid: "property is missing and it is not optional",
    });
  });

  test("reads the words for true and false", () => {
    const checked = validate(routeSchema(CONFIG), { ...path, onboot: "yes", kvm: "off" });
    assert.ok("params" in checked);
    assert.equal(checked.params.flag("onboot"), true);
    assert.equal(checked.params.text("kvm"), "0");
  });

  for (const [value, complaint] of [
    ["ip=10.0.0.5/24,gw=10.0.0.1", undefined],
    ["ip=dhcp", undefined],
    ["ip=10.0.0.5", /ipconfig0\.ip: invalid format - value does not look like a valid ipv4 network/],
    ["gw=10.0.0.1", /ipconfig0\.ip: missing property required by 'ipconfig0\.gw'/],
  ] as const) {
    test(`ipconfig0 ${value}`, () => {
      const error = errorsOf(CONFIG, { ...path, ipconfig0: value }).ipconfig0;
      if (complaint === undefined) assert.equal(error, undefined);
      else assert.match(error ?? "", complaint);
    });
  }
});

describe("property strings", () => {
  test("a network card is written with its model and address as one", () => {
    const nic = parsePropertyString(
      "model=virtio,bridge=vmbr0,macaddr=BC:24:11:00:00:01",
      keysOf("net0"),
      "net0",
    );
    assert.deepEqual(nic, { model: "virtio", bridge: "vmbr0", macaddr: "BC:24:11:00:00:01" });
    assert.equal(printPropertyString(nic, keysOf("net0")), "virtio=BC:24:11:00:00:01,bridge=vmbr0");
  });

  test("what is printed reads the same", () => {
    const text = "vmdata:100/vm-100-disk-0.qcow2,discard=on,iothread=1,size=32G,ssd=1";
    const drive = parsePropertyString(`${text},`, keysOf("scsi0"), "scsi0");
    assert.equal(printPropertyString(drive, keysOf("scsi0")), text);
  });

  test("a key may come once only", () => {
    assert.throws(
      () => parsePropertyString("virtio,bridge=a,bridge=b", keysOf("net0"), "net0"),
      /duplicate key in comma-separated list property: bridge/,
    );
  });
});

describe("disk sizes", () => {
  for (const [text, bytes] of [
    ["528K", 540_672],
    ["32G", 34_359_738_368],
    ["1.5G", 1_610_612_736],
    ["4194304", 4_194_304],
  ] as const) {
    test(`${text} is ${bytes} bytes`, () => assert.equal(parseDiskSize(text), bytes));
  }

  test("are written in the largest unit without a fraction", () => {
    assert.equal(formatDiskSize(34_359_738_368), "32G");
    assert.equal(formatDiskSize(540_672), "528K");
    assert.equal(formatDiskSize(513), "513");
    assert.equal(parseDiskSize("32 GB"), undefined);
  });
});
