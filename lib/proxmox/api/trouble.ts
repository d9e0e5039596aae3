import { TaskError } from "../../errors.ts";
import { ApiFailure } from "./failures.ts";
import { CaFileError, FingerprintError } from "./tls.ts";

/** Where the way to the API ends: at its name, on the network, at its certificate, or because it does not know the token. */
export type ApiTrouble = "name" | "connection" | "certificate" | "token";

/**
 * Why nothing can be asked of the API, from what a call that everybody may make came to.
 * @param error what GET /version threw
 */
export function apiTrouble(error: unknown): ApiTrouble {
  if (error instanceof ApiFailure && error.status === 401) return "token";
  const cause = error instanceof TaskError ? error.cause : error;
  if (cause instanceof FingerprintError || cause instanceof CaFileError) return "certificate";
  const { code = "" } = (cause ?? {}) as NodeJS.ErrnoException;
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code)) return "certificate";
  return code === "ENOTFOUND" || code === "EAI_AGAIN" ? "name" : "connection";
}
