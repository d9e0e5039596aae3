import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ARCHITECTURES, formatImageName } from "../../lib/image-name.ts";
import {
  type ImageMetadata,
  imageMetadata,
  parseMetadata,
  parseNotes,
  renderMetadata,
  renderNotes,
} from "../../lib/proxmox/image-metadata.ts";

const NAME = "alma9-k3-node-amd64-v1.28.5-v1";

function metadata(more: Partial<Parameters<typeof imageMetadata>[0]> = {}): ImageMetadata {
  return imageMetadata({
    name: NAME,
    k3sVersion: "v1.28.5+k3s1",
    builtAt: new Date("2024-01-15T10:30:00.123Z"),
    vmid: 9000,
    qcow2: {
      path: "output/alma9-k3s-optimized.qcow2",
      bytes: 2_100_000_000,
      sha256: "ab".repeat(32),
    },
    ...more,
  });
}

describe("image metadata", () => {
  test("have the fields of the specification, with its example's values", () => {
    assert.deepEqual(metadata(), {
      version: NAME,
      base_os: "AlmaLinux 9",
      architecture: "amd64",
      k3s_version: "v1.28.5+k3s1",
      distribution_release: "v1",
      build_date: "2024-01-15T10:30:00Z",
      qcow2_path: "output/alma9-k3s-optimized.qcow2",
      qcow2_size_gb: 2.1,
      template_id: 9000,
      qcow2_sha256: "ab".repeat(32),
    });
  });

  test("of an image that was built on the node name no file", () => {
    const { qcow2_path, qcow2_size_gb, qcow2_sha256, ...rest } = metadata({ qcow2: undefined });
    assert.deepEqual([qcow2_path, qcow2_size_gb, qcow2_sha256], [undefined, undefined, undefined]);
    assert.deepEqual(parseNotes(renderNotes(rest)), rest);
  });

  test("another k3s than the one in the name does not count", () => {
    assert.equal(metadata({ k3sVersion: "v1.35.6+k3s1" }).k3s_version, "v1.28.5");
    assert.equal(metadata({ k3sVersion: undefined }).k3s_version, "v1.28.5");
  });

  const anyMetadata = fc
    .record({
      name: fc
        .record({
          alma: fc.integer({ min: 1, max: 99 }),
          arch: fc.constantFrom(...ARCHITECTURES),
          k3sVersion: fc
            .array(fc.nat({ max: 9999 }), { minLength: 3, maxLength: 3 })
            .map((parts) => `v${parts.join(".")}+k3s1`),
          release: fc.integer({ min: 1, max: 99_999 }),
        })
        .map(formatImageName),
      builtAt: fc.date({ min: new Date(0), max: new Date("9999-12-31T00:00:00Z"), noInvalidDate: true }),
      vmid: fc.integer({ min: 100, max: 999_999_999 }),
      qcow2: fc.record({
        path: fc.oneof(
          fc.string({ unit: "binary" }),
          fc.constantFrom("/tmp/`a`.qcow2", "/tmp/```json\n{}\n```", "/tmp/$(x) 'y'\n```\n.qcow2", "\r\n```"),
        ),
        bytes: fc.maxSafeNat(),
        sha256: fc.stringMatching(/^[0-9a-f]{64}$/),
      }),
    })
    .map(imageMetadata);

  test("are read back from the notes as they were written, whatever the path holds", () => {
    fc.assert(
      fc.property(anyMetadata, (made) => {
        assert.deepEqual(parseNotes(renderNotes(made)), made);
        // Proxmox drops the line end, and a browser may send others.
        assert.deepEqual(parseNotes(renderNotes(made).trimEnd().replaceAll("\n", "\r\n")), made);
        const read = parseMetadata(renderMetadata(made));
        assert.deepEqual(read, made);
        // The same text too: an upload that finds its template must not write the file beside the image anew.
        assert.equal(renderMetadata(read ?? made), renderMetadata(made));
      }),
      { numRuns: 300 },
    );
  });

  test("people may write around them", () => {
    assert.deepEqual(parseNotes(`Mine!\n\n${renderNotes(metadata())}\nDo not delete.`), metadata());
  });

  const foreign: Readonly<Record<string, string>> = {
    "no notes": "",
    prose: "Golden image of the lab",
    "code that is no JSON": "```json\nnot json\n```",
    "JSON of another kind": '```json\n{"version": 3}\n```',
    "a field of another type": renderNotes(metadata()).replace("9000", '"9000"'),
    "a block that does not end": renderNotes(metadata()).replace(/\n```\n$/, ""),
    "a list": "```json\n[]\n```",
  };
  for (const [title, notes] of Object.entries(foreign)) {
    test(`notes of somebody else are not taken for ours: ${title}`, () =>
      assert.equal(parseNotes(notes), undefined));
  }
});
