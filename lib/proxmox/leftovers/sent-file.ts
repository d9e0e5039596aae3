import { isImageName } from "../../image-name.ts";

/**
 * The image of which a file was sent: its name, and a part of its checksum, are the file's.
 * @returns the image's name; undefined for a file that is none of ours
 */
export function imageOfFile(file: string): string | undefined {
  const [, name] = /^(.+)-[0-9a-f]{12}\.qcow2$/.exec(file) ?? [];
  return name !== undefined && isImageName(name) ? name : undefined;
}
