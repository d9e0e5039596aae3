import { cp, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** What tofu leaves in an environment's folder: none of it is configuration. */
const NOT_CONFIGURATION = /(?:^|\/)(?:\.terraform|\.terraform\.lock\.hcl|[^/]*\.tfstate[^/]*|[^/]*\.tfplan)$/;

/** The last override file that tofu reads: whatever backend the environment has, the copy's state lies where it is told. */
const OWN_STATE = {
  name: "zzzz_own_state_override.tf",
  text: 'terraform {\n  backend "local" {}\n}\n',
} as const;

/**
 * Copy an environment's configuration and the modules beside it. tofu takes a state that lies in
 * the folder it runs in for one to be migrated, whatever path its backend is given: so it runs in another folder. A remote
 * backend of the environment is left out there: such a run must not touch the real state.
 * @param directory for example terraform/envs/k3s-single
 * @param folder a private one, for the copy
 * @returns the environment's folder in the copy
 */
export async function copyEnvironment(directory: string, folder: string): Promise<string> {
  const tree = dirname(dirname(directory));
  const copy = join(folder, "configuration");
  const filter = (path: string): boolean => !NOT_CONFIGURATION.test(path);
  await cp(join(tree, "modules"), join(copy, "modules"), { recursive: true, filter });
  const environment = join(copy, "envs", basename(directory));
  await cp(directory, environment, { recursive: true, filter });
  await writeFile(join(environment, OWN_STATE.name), OWN_STATE.text);
  return environment;
}
