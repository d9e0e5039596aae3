import type { SettingName } from "../lib/config/index.ts";
import { ENVIRONMENT_REQUIRES } from "./tf-init.ts";

/** What the whole way cannot do without; apart from it, so that whoever only asks for it loads none of its steps. */
export const DEPLOY_REQUIRES = [
  ...ENVIRONMENT_REQUIRES,
  "SSH_PUBLIC_KEY_FILE",
] as const satisfies readonly SettingName[];
