export { renderEnvExample } from "./example.ts";
export { loadSettings } from "./load.ts";
export {
  SETTING_NAMES,
  type SettingName,
  type Settings,
  specOf,
} from "./schema.ts";
export { readSources, type Source } from "./sources.ts";
