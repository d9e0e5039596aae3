import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { compareImages } from "../../lib/proxmox/catalogue.ts";
import { imageMetadata, renderNotes } from "../../lib/proxmox/image-metadata.ts";
import { catalogueOf } from "../../lib/proxmox/index.ts";
import type { VmDetails } from "../../lib/proxmox/inventory.ts";

const OLD = "alma9-k3-node-amd64-v1.28.5-v1";
const NEW = "alma9-k3-node-amd64-v1.35.6-v1";
const ARM = "alma9-k3-node-arm64-v1.28.5-v1";

function vm(vmid: number, name: string, template: boolean, config: Record<string, string> = {}): VmDetails {
  const place = { vmid, name, node: "pve", template, status: "stopped", tags: [] };
  return { ...place, config, addresses: [], disks: {} };
}

const madeFrom = (name: string, vmid: number): Record<string, string> => ({
  description: `Made from the template ${name} (${vmid}) and changed by OpenTofu`,
});

describe("the image catalogue", () => {
  test("has golden images alone, the newest first, with their metadata", () => {
    const facts = { name: OLD, k3sVersion: "v1.28.5+k3s1", builtAt: new Date(0), vmid: 100 };
    const metadata = imageMetadata(facts);
    const images = catalogueOf([
      vm(100, OLD, true, { description: renderNotes(metadata) }),
      vm(101, NEW, true),
      vm(102, "debian-12", true),
      vm(103, "k3s-s1", false),
    ]);
    assert.deepEqual(
      images.map(({ name }) => name),
      [NEW, OLD],
    );
    assert.deepEqual(images[1]?.metadata, metadata);
    assert.equal(images[0]?.metadata, undefined);
  });

  test("knows what supersedes what: the same AlmaLinux and architecture alone", () => {
    const images = catalogueOf([vm(100, OLD, true), vm(101, NEW, true), vm(102, ARM, true)]);
    assert.deepEqual(
      images.map(({ name, supersededBy }) => [name, supersededBy]),
      [
        [NEW, undefined],
        [OLD, NEW],
        [ARM, undefined],
      ],
    );
  });

  test("finds full clones by their notes or their time of creation, and linked clones by their disks", () => {
    const images = catalogueOf([
      vm(100, OLD, true, { meta: "creation-qemu=10.0.2,ctime=1795387847" }),
      vm(200, "full", false, madeFrom(OLD, 100)),
      vm(201, "linked", false, { scsi0: "vmdata:100/base-100-disk-0.qcow2/201/vm-201-disk-0.qcow2,size=2G" }),
      vm(202, "other", false, madeFrom(OLD, 99)),
      vm(203, "reused-number", false, madeFrom(NEW, 100)),
      vm(204, "unknown", false, { meta: "creation-qemu=10.0.2,ctime=1795387999" }),
      vm(205, "by-hand", false, { meta: "creation-qemu=10.0.2,ctime=1795387847" }),
    ]);
    assert.deepEqual(
      images[0]?.usedBy.map(({ name }) => name),
      ["full", "linked", "by-hand"],
    );
  });
});

test("images are ordered by numbers, not by letters", () => {
  const names = [
    "alma9-k3-node-amd64-v1.9.9-v1",
    "alma9-k3-node-amd64-v1.10.0-v2",
    "alma9-k3-node-amd64-v1.10.0-v10",
  ];
  assert.deepEqual(names.toReversed().sort(compareImages), names);
});
