import type { Check, Finding } from "../../lib/check/index.ts";
import {
  loadSettings,
  SETTING_NAMES,
  type SettingName,
  type Source,
  specOf,
} from "../../lib/config/index.ts";
import { UsageError } from "../../lib/errors.ts";

/** What is set is well-formed; what is not set, but needed on a real node, is named. */
export function settingsCheck(sources: readonly Source[]): Check {
  return {
    name: "settings",
    title: "Settings are well-formed",
    needs: [],
    async run() {
      await loadSettings([], SETTING_NAMES, sources).catch((error: unknown) => {
        // A finding like any other here, not wrong usage of this command.
        throw error instanceof UsageError ? error.asFinding() : error;
      });
      const { DEPLOY_REQUIRES } = await import("../deploy-requires.ts");
      return DEPLOY_REQUIRES.filter((name) => !isGiven(sources, name)).map(missing);
    },
  };
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
