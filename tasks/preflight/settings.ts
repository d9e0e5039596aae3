import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Check, Finding } from "../../lib/check/index.ts";
import {
  loadSettings,
  SETTING_NAMES,
  type SettingName,
  type Source,
  specOf,
  tfvarsFlaw,
} from "../../lib/config/index.ts";
import { UsageError } from "../../lib/errors.ts";

/**
 * What is set is well-formed, and leads to an environment that there is; what is not set, but needed on a real node, is
 * named.
 * @param root the repository's folder
 * @param broken what is wrong with the places that settings come from
 */
export function settingsCheck(
  root: string,
  sources: readonly Source[],
  broken: readonly UsageError[],
): Check {
  return {
    name: "settings",
    title: "Settings are well-formed",
    needs: [],
    async run() {
      const { environmentDirectory } = await import("../../lib/tofu/index.ts");
      const { ENVIRONMENT_REQUIRES, keyDemand } = await import("../tf-init.ts");
      const found = [
        ...broken,
        ...(await wrongUsage(loadSettings([], SETTING_NAMES, sources))),
        ...(await brokenVariables(root, sources)),
        ...(await wrongUsage(
          loadSettings([], ["ENV"], sources).then(
            async ({ ENV }) => await environmentDirectory(root, ENV),
            // Told above, with the others.
            () => undefined,
          ),
        )),
      ];
      return [
        ...found.map(asFinding),
        ...[...ENVIRONMENT_REQUIRES, ...keyDemand(sources)]
          .filter((name) => !isGiven(sources, name))
          .map(missing),
      ];
    },
  };
}

/** A finding like any other here, not wrong usage of this command. */
function asFinding({ what, why, todo }: UsageError): Finding {
  return { state: "failed", evidence: why ? `${what}\n${why}` : what, fix: todo };
}

async function wrongUsage(looking: Promise<unknown>): Promise<UsageError[]> {
  try {
    await looking;
    return [];
  } catch (error) {
    if (error instanceof UsageError) return [error];
    throw error;
  }
}

/** OpenTofu refuses a file of values that it cannot parse; the settings in it would be passed over here. */
async function brokenVariables(root: string, sources: readonly Source[]): Promise<UsageError[]> {
  const found: UsageError[] = [];
  for (const { name } of sources.filter((source) => source.name.endsWith(".tfvars"))) {
    const text = await readFile(join(root, name), "utf8").catch(() => "");
    const flaw = tfvarsFlaw(text);
    if (flaw === undefined) continue;
    const { line, words } = flaw;
    const todo = ["Write each value on a line of its own, text in quotes:", 'NAME = "VALUE"'];
    found.push(new UsageError({ what: `${name}:${line}  ${words}`, todo }));
  }
  return found;
}

/** Whether a setting has a value from somewhere; one that is its own default counts as none. */
export function isGiven(sources: readonly Source[], name: SettingName): boolean {
  return sources.some(({ values }) => Boolean(values[name]?.trim()));
}

function missing(name: SettingName): Finding {
  const { about, example, where } = specOf(name);
  return {
    state: "warning",
    evidence: `${name} is not set; a real node needs it (the sandbox does not): ${about}`,
    fix: [
      `Set it in .env: ${name}=${example}`,
      ...(where === undefined ? [] : [`Where to get it: ${where}`]),
    ],
  };
}
