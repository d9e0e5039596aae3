import { TaskError } from "../../lib/errors.ts";
import { ApiFailure, missingPrivileges, ProxmoxApi } from "../../lib/proxmox/index.ts";
import { commandFor, type InitRequest, targetOf } from "./request.ts";
import type { ApiAddress } from "./trust.ts";

/**
 * Ask the API with a token, and what it may.
 * @param token its id is "homelab@pve!tasks"
 * @param madeBy the flags of a run that has made it just now, and takes it back should it not be taken
 * @throws {TaskError} where the API does not take it, or it may do less than the tasks need
 */
export async function tryToken(
  request: InitRequest,
  address: ApiAddress,
  token: { readonly id: string; readonly secret: string },
  { madeBy, signal }: { readonly madeBy: readonly string[] | undefined; readonly signal: AbortSignal },
): Promise<void> {
  const api = new ProxmoxApi({ ...address, tokenId: token.id, tokenSecret: token.secret });
  try {
    const missing = await missingPrivileges(api, request.settings, signal);
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
    throw error.withTodo(
      madeBy === undefined
        ? [
            "If it was given another secret, or has expired, replace it:",
            commandFor(request.names, "--rotate"),
          ]
        : [
            `It was made on ${targetOf(request)} just now: see that PM_API_URL and PM_SSH_HOST lead to the same node`,
            commandFor(request.names, ...madeBy),
          ],
    );
  } finally {
    await api.close();
  }
}
