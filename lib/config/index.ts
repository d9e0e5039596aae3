export { saveToDotenv } from "./dotenv-file.ts";
export { renderEnvExample } from "./example.ts";
export { givenText, loadSettings, missingSettings } from "./load.ts";
export {
  SETTING_NAMES,
  type SettingName,
  type Settings,
  specOf,
} from "./schema.ts";
export { COMMAND_LINE, readSources, type Source } from "./sources.ts";
export { parseTfvars, tfvarsFlaw } from "./tfvars.ts";
