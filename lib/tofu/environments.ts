import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { UsageError } from "../errors.ts";

/** The environments there are: folders of terraform/envs with HCL in them. */
export async function listEnvironments(root: string): Promise<string[]> {
  const base = join(root, "terraform", "envs");
  const entries = existsSync(base) ? await readdir(base, { withFileTypes: true }) : [];
  const names: string[] = [];
  for (const entry of entries.filter((each) => each.isDirectory())) {
    const files = await readdir(join(base, entry.name));
    if (files.some((file) => file.endsWith(".tf"))) names.push(entry.name);
  }
  return names.sort();
}

/**
 * The folder of an environment.
 * @param root the repository's folder
 * @param name for example "k3s-single"
 * @throws {UsageError} listing the environments there are
 */
export async function environmentDirectory(root: string, name: string): Promise<string> {
  const names = await listEnvironments(root);
  if (!names.includes(name)) {
    throw new UsageError({
      what: `There is no environment "${name}"`,
      why: `terraform/envs has ${names.length === 0 ? "none" : names.join(", ")}`,
      todo: [
        ...(names[0] === undefined ? [] : [`Use --env ${names[0]}`]),
        `Or make it: a copy of another one in terraform/envs/${name}, with a name and an address of its own`,
      ],
    });
  }
  return join(root, "terraform", "envs", name);
}

/**
 * Files with values of variables that are there, the weakest first: globals.tfvars for all environments, then the
 * environment's own terraform.tfvars. tofu reads the latter by itself, but any -var-file would beat it.
 */
export function varFiles(root: string, environment: string): string[] {
  const terraform = join(root, "terraform");
  return [join(terraform, "globals.tfvars"), join(terraform, "envs", environment, "terraform.tfvars")].filter(
    (file) => existsSync(file),
  );
}

/**
 * Where it is written down what an environment came to.
 * @param root the repository's folder
 * @param sandbox the embedded node's folder, where that is meant
 */
export function environmentPlaces(
  root: string,
  environment: string,
  sandbox?: string,
): { readonly journal: string; readonly stateDir?: string } {
  const begun = journalFolder(root, sandbox);
  return {
    journal: join(begun, `${environment}.json`),
    // A state of the sandbox beside the real one would make the next plan destroy what it does not find.
    ...(sandbox === undefined ? {} : { stateDir: join(sandbox, "tofu", environment) }),
  };
}

/** Where the journals of all environments lie. */
export function journalFolder(root: string, sandbox?: string): string {
  return join(sandbox ?? join(root, ".homelab"), "begun");
}
