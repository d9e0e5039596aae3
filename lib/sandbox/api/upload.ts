import { randomBytes } from "node:crypto";
import { readdirSync, rmSync } from "node:fs";
import { rm } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { type ApiAnswer, ApiError, type Caller, type Dispatch } from "../calls.ts";
import { enforce } from "../permissions.ts";
import { routeSchema } from "../schema/index.ts";
import type { World } from "../world/index.ts";
import { AuthenticationError } from "./authenticate.ts";
import { boundaryOf, readUpload } from "./multipart.ts";
import { findRoute } from "./router.ts";
import { routes, UPLOAD_ROUTE } from "./routes/index.ts";

/** Where the server puts what comes in, until a task has it. */
const DIRECTORY = "/var/tmp";
const PREFIX = "pveupload-";

/** The boundary of an upload's form, or undefined for any other call. */
export function uploadBoundary(path: string, { method = "", headers }: IncomingMessage): string | undefined {
  if (findRoute(routes, method, path)?.name !== UPLOAD_ROUTE) return undefined;
  return boundaryOf(headers["content-type"]);
}

/**
 * Take an upload in, then call the route with the place where it lies.
 * @throws {AuthenticationError} when the caller may not upload: as a real server does, before it reads anything
 * @throws {ApiError}
 */
export async function receiveUpload(
  world: World,
  dispatch: Dispatch,
  { path, caller, boundary }: { readonly path: string; readonly caller: Caller; readonly boundary: string },
  request: IncomingMessage,
): Promise<ApiAnswer> {
  demandRight(world, path, caller);
  const tmpfilename = `${DIRECTORY}/${PREFIX}${randomBytes(16).toString("hex")}`;
  const hostPath = world.files.toHost(tmpfilename);
  const { fields, filename } = await readUpload(request, boundary, hostPath);
  try {
    const params = filename === undefined ? fields : { ...fields, filename, tmpfilename };
    return await dispatch({ method: "POST", path, params, caller });
  } catch (error) {
    await rm(hostPath, { force: true });
    throw error;
  }
}

/** Remove what a killed sandbox was about to take in. */
export function removeLeftUploads(world: World): void {
  const directory = world.files.toHost(DIRECTORY);
  for (const name of readdirSync(directory)) if (name.startsWith(PREFIX)) rmSync(join(directory, name));
}

function demandRight(world: World, path: string, caller: Caller): void {
  const { check } = routeSchema(UPLOAD_ROUTE);
  const { params } = findRoute(routes, "POST", path) ?? {};
  try {
    if (check !== undefined) enforce({ access: world.access, caller }, check, params ?? {});
  } catch (error) {
    throw error instanceof ApiError ? new AuthenticationError(error.message, error.status) : error;
  }
}
