import { saveToDotenv } from "../../lib/config/index.ts";
import { type NewToken, tokenNameOf } from "../../lib/proxmox/index.ts";
import type { InitRequest } from "./request.ts";
import { apiUrl } from "./trust.ts";

/** The name of the token that the settings have, with its secret; undefined where they have none of this user. */
export function knownToken({ names, settings }: InitRequest): string | undefined {
  return settings.PM_API_TOKEN_SECRET === undefined
    ? undefined
    : tokenNameOf(names.user, settings.PM_API_TOKEN_ID);
}

/**
 * Put a token into .env, and the API's address where that is not set anywhere.
 * @param note told which settings were saved, without their values
 */
export async function saveToken(
  request: InitRequest,
  { id, secret }: NewToken,
  note: (line: string) => void,
): Promise<void> {
  const { settings, dotenv } = request;
  const url = settings.PM_API_URL === undefined ? { PM_API_URL: apiUrl(request).href } : {};
  const values = { ...url, PM_API_TOKEN_ID: id, PM_API_TOKEN_SECRET: secret };
  await saveToDotenv(dotenv, values);
  note(`Saved to ${dotenv}, readable by you alone: ${Object.keys(values).join(", ")}`);
}
