import * as v from "valibot";
import { parseImageName } from "../image-name.ts";

/**
 * What is known of an image; the fields of the specification, and its checksum. Their order is the one they are
 * written in, here and in `imageMetadata`: what is read back gives the same text.
 */
const metadataSchema = v.object({
  version: v.string(),
  base_os: v.string(),
  architecture: v.string(),
  k3s_version: v.string(),
  distribution_release: v.string(),
  build_date: v.string(),
  // An image that Packer built on the node itself never was a file here.
  qcow2_path: v.optional(v.string()),
  qcow2_size_gb: v.optional(v.number()),
  qcow2_sha256: v.optional(v.string()),
  template_id: v.number(),
});
export type ImageMetadata = Readonly<v.InferOutput<typeof metadataSchema>>;

/** What the metadata are made from, besides the image's name. */
export interface ImageFacts {
  readonly name: string;
  /** With its revision: "v1.28.5+k3s1"; from the name, without one, when it is left out. */
  readonly k3sVersion?: string | undefined;
  readonly builtAt: Date;
  readonly vmid: number;
  /** The file it was uploaded from. */
  readonly qcow2?: { readonly path: string; readonly bytes: number; readonly sha256: string } | undefined;
}

/** The metadata of an image; what its name says goes into them too. */
export function imageMetadata(facts: ImageFacts): ImageMetadata {
  const { alma, arch, kubernetes, release } = parseImageName(facts.name);
  return {
    version: facts.name,
    base_os: `AlmaLinux ${alma}`,
    architecture: arch,
    k3s_version: facts.k3sVersion?.split("+")[0] === kubernetes ? facts.k3sVersion : kubernetes,
    distribution_release: `v${release}`,
    build_date: facts.builtAt.toISOString().replace(/\.\d+Z$/, "Z"),
    ...(facts.qcow2 === undefined
      ? {}
      : {
          qcow2_path: facts.qcow2.path,
          qcow2_size_gb: Number((facts.qcow2.bytes / 1e9).toPrecision(3)),
          qcow2_sha256: facts.qcow2.sha256,
        }),
    template_id: facts.vmid,
  };
}

/** The template's notes: Markdown that the web interface shows well, and that can be read back. */
export function renderNotes(metadata: ImageMetadata): string {
  return [
    `Golden image ${metadata.version}, made by homelab.`,
    "",
    "```json",
    renderMetadata(metadata).trimEnd(),
    "```",
    "",
  ].join("\n");
}

/** The metadata in a template's notes; undefined for notes of somebody else. */
export function parseNotes(notes: string): ImageMetadata | undefined {
  const [, json] = /```json\r?\n([\s\S]*?)\r?\n```/.exec(notes) ?? [];
  return json === undefined ? undefined : parseMetadata(json);
}

/** The file beside the image. */
export function renderMetadata(metadata: ImageMetadata): string {
  return `${JSON.stringify(metadata, undefined, 2)}\n`;
}

/** Metadata from their JSON; undefined for anything else. */
export function parseMetadata(json: string): ImageMetadata | undefined {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), metadataSchema), json);
  return result.success ? result.output : undefined;
}
