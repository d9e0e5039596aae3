import { readFile, writeFile } from "node:fs/promises";
import { messageOf } from "../../errors.ts";
import { type ImageMetadata, parseMetadata, renderMetadata } from "../image-metadata.ts";
import { printable } from "./place.ts";

/**
 * Write the metadata beside the image. The template is there by now: a folder that cannot be written to, or a file of
 * somebody else, does not undo it.
 * @returns the rest of a sentence that begins "its metadata are in its notes"
 */
export async function keepMetadata(path: string, metadata: ImageMetadata): Promise<string> {
  const shown = printable(path);
  try {
    const text = renderMetadata(metadata);
    const before = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (before !== undefined && parseMetadata(before) === undefined)
      return ` alone: ${shown} holds something else and was left as it is`;
    if (before !== text) await writeFile(path, text);
    return ` and ${shown}`;
  } catch (error) {
    return ` alone: ${shown} could not be written (${messageOf(error)})`;
  }
}
