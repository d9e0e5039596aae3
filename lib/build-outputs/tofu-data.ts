import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";

const manifestSchema = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ Modules: v.array(v.object({ Key: v.string(), Dir: v.string() })) }),
);

/** A provider as `tofu init` installs it: HOST/NAMESPACE/TYPE/VERSION/OS_ARCH, a folder or a link to the mirror's, and its lock. */
const PROVIDER = /^providers\/[^/]+\/[^/]+\/[^/]+\/\d+\.\d+[^/]*\/[a-z\d]+_[a-z\d]+(\.lock$|\/|$)/;
const MANIFEST = /^modules\/modules\.json$/;

/**
 * The folders below .terraform/modules that `tofu init` has downloaded modules into.
 * @param data a .terraform folder
 * @returns undefined where there is no manifest of modules: then nothing in there is known to be tofu's
 */
export async function moduleFolders(data: string): Promise<readonly string[] | undefined> {
  const text = await readFile(join(data, "modules", "modules.json"), "utf8").catch(() => "");
  const parsed = v.safeParse(manifestSchema, text);
  if (!parsed.success) return undefined;
  return parsed.output.Modules.flatMap(({ Dir }) => {
    const [, folder] = /^\.terraform\/modules\/([^/]+)/.exec(Dir.replaceAll("\\", "/")) ?? [];
    return folder === undefined ? [] : [folder];
  });
}

/** What of a .terraform folder tofu makes again by itself, as forms of paths in it. */
export function dataFolders(modules: readonly string[] | undefined): RegExp[] {
  if (modules === undefined) return [PROVIDER];
  const downloaded = modules.map(
    (name) => new RegExp(`^modules/${name.replace(/[.*+?^$(){}|[\]\\]/g, "\\$&")}/`),
  );
  return [PROVIDER, MANIFEST, ...downloaded];
}
