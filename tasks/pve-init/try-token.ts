import { TaskError } from "../../lib/errors.ts";
import { ApiFailure, missingPrivileges, ProxmoxApi } from "../../lib/proxmox/index.ts";
import type { InitRequest } from "./request.ts";
import type { ApiAddress } from "./trust.ts";

/**
 * Ask the API with a token, and what it may.
 * @param id "homelab@pve!tasks"
 * @throws {TaskError} where the API does not take it, or it may do less than the tasks need
 */
export async function tryToken(
  { settings }: InitRequest,
  address: ApiAddress,
  token: { readonly id: string; readonly secret: string },
  signal: AbortSignal,
): Promise<void> {
  const api = new ProxmoxApi({ ...address, tokenId: token.id, tokenSecret: token.secret });
  try {
    const missing = await missingPrivileges(api, settings, signal);
    if (missing.length === 0) return;
    const rows = [
      ...new Set(missing.map(({ privilege, path, purpose }) => `${privilege} on ${path}: ${purpose}`)),
    ];
    throw new TaskError({
      what: `The token ${token.id} may do less than the tasks need`,
      why: rows.join("\n"),
      todo: [
        "Look at its rights, on the node:",
        `$ pveum user token permissions ${token.id.replace("!", " ")}`,
      ],
    });
  } catch (error) {
    if (!(error instanceof ApiFailure) || error.status !== 401) throw error;
    throw error.withTodo([
      "If it was given another secret, or has expired, replace it:",
      "$ npm run pve-init -- --rotate",
    ]);
  } finally {
    await api.close();
  }
}
