import type { ContentType } from "./types.ts";

/** The parts of a volume id such as "vmdata:100/vm-100-disk-0.qcow2" or "local:iso/tiny.iso". */
export interface VolumeId {
  readonly storage: string;
  /** What stands after the storage. */
  readonly name: string;
}

/** What the name of a volume tells. */
export interface VolumeName {
  readonly content: ContentType;
  /** File name without directories. */
  readonly file: string;
  readonly vmid: number | undefined;
  /** Base image of a template: it never changes. */
  readonly isBase: boolean;
  /** Name of the base image that a linked clone needs, for example "9000/base-9000-disk-0.qcow2". */
  readonly base: string | undefined;
  readonly format: string;
}

/** Directory below the storage's path, by content. */
export const CONTENT_DIRECTORY: Readonly<Record<ContentType, string>> = {
  backup: "dump",
  images: "images",
  import: "import",
  iso: "template/iso",
  rootdir: "private",
  snippets: "snippets",
  vztmpl: "template/cache",
};

const VOLUME_ID = /^(?<storage>[a-z][a-z0-9._-]*[a-z0-9]):(?<name>.+)$/i;
const IMAGE =
  /^(?:(?<base>[1-9]\d+\/base-[^/\s]+\.(?:raw|qcow2|vmdk))\/)?(?<vmid>[1-9]\d*)\/(?<file>[^/\s]+\.(?<format>raw|qcow2|vmdk))$/;
const FILE = /^(?<content>iso|vztmpl|import|snippets|backup)\/(?<file>[^/\s]+)$/;
const EXTENSION: Partial<Record<ContentType, RegExp>> = {
  iso: /\.(?:iso|img)$/i,
  vztmpl: /\.tar\.(?:gz|xz|zst|bz2)$/i,
  import: /\.(?:ova|ovf|qcow2|raw|vmdk)$/i,
  backup: /^vzdump-.*\.(?:vma|tar|tgz)(?:\.(?:gz|lzo|zst|bz2))?$/,
};

/** Split a volume id, or undefined for a text that is none. */
export function parseVolumeId(volid: string): VolumeId | undefined {
  const groups = VOLUME_ID.exec(volid)?.groups;
  if (groups?.storage === undefined || groups.name === undefined) return undefined;
  return { storage: groups.storage, name: groups.name };
}

/** Read the name of a volume on a directory storage, or undefined when the storage has no such names. */
export function parseVolumeName(name: string): VolumeName | undefined {
  const image = IMAGE.exec(name)?.groups;
  if (image !== undefined) {
    return {
      content: "images",
      file: image.file ?? "",
      vmid: Number(image.vmid),
      isBase: image.file?.startsWith("base-") === true,
      base: image.base,
      format: image.format ?? "raw",
    };
  }
  const groups = FILE.exec(name)?.groups;
  const content = groups?.content as ContentType | undefined;
  const file = groups?.file;
  if (content === undefined || file === undefined || file === "." || file === "..") return undefined;
  if (EXTENSION[content]?.test(file) === false) return undefined;
  return { content, file, vmid: undefined, isBase: false, base: undefined, format: formatOf(content, file) };
}

/** Path below the storage's own: "images/100/vm-100-disk-0.qcow2". */
export function pathOfVolume(volume: VolumeName): string {
  const directory = CONTENT_DIRECTORY[volume.content];
  return volume.content === "images"
    ? `${directory}/${volume.vmid}/${volume.file}`
    : `${directory}/${volume.file}`;
}

function formatOf(content: ContentType, file: string): string {
  const extension = /\.([a-z0-9]+)$/i.exec(file)?.[1]?.toLowerCase() ?? "";
  if (content === "iso") return "iso";
  if (content === "snippets") return "snippet";
  return extension;
}
