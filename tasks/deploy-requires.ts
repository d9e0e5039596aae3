import type { SettingName, Source } from "../lib/config/index.ts";
import { ENVIRONMENT_REQUIRES, keyDemand } from "./tf-init.ts";

/** What the whole way cannot do without; apart from it, so that whoever only asks for it loads none of its steps. */
export function deployRequires(sources: readonly Source[]): readonly SettingName[] {
  return [...ENVIRONMENT_REQUIRES, ...keyDemand(sources)];
}
