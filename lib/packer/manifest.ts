import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";

/** What Packer says of an image once it is built. */
export interface Manifest {
  readonly builtAt: Date;
  /** A template's number, for one that was made on a node. */
  readonly artifact: string;
  readonly files: readonly { readonly name: string; readonly size: number }[];
}

/** @see https://developer.hashicorp.com/packer/docs/post-processors/manifest : one entry for each build, the last one counts */
const manifestSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({
    last_run_uuid: v.string(),
    builds: v.array(
      v.object({
        build_time: v.number(),
        artifact_id: v.string(),
        packer_run_uuid: v.string(),
        files: v.nullish(v.array(v.object({ name: v.string(), size: v.number() }))),
      }),
    ),
  }),
);

/** What the last build says that has come to its end. @param logs the folder that Packer writes its manifest into */
export async function readManifest(logs: string): Promise<Manifest | undefined> {
  const json = await readFile(join(logs, "manifest.json"), "utf8").catch(() => "");
  const parsed = v.safeParse(manifestSchema, json);
  if (!parsed.success) return undefined;
  const { last_run_uuid, builds } = parsed.output;
  const last = builds.findLast(({ packer_run_uuid }) => packer_run_uuid === last_run_uuid);
  return (
    last && {
      builtAt: new Date(last.build_time * 1000),
      artifact: last.artifact_id,
      files: last.files ?? [],
    }
  );
}
