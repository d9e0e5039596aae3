export { renderEnvExample } from "./example.ts";
export { loadSettings } from "./load.ts";
export {
  SETTING_NAMES,
  type Setting,
  type SettingName,
  type Settings,
  type SettingValue,
  specOf,
} from "./schema.ts";
export { readSources, type Source } from "./sources.ts";
