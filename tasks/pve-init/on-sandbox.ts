import { readFile } from "node:fs/promises";
import { loadSettings, type Source } from "../../lib/config/index.ts";
import { UsageError } from "../../lib/errors.ts";
import { tokenNameOf } from "../../lib/proxmox/index.ts";
import { INIT_USES, type InitSettings } from "./request.ts";

/** Where pve-init keeps its token on the sandbox, in the sandbox's folder. */
export const SANDBOX_FILE = "pve-init.env";

/** What belongs to a token: both are taken from one place. */
const TOKEN: readonly string[] = ["PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"];

/**
 * The settings of a run on the sandbox. The sandbox has a token of its own, which every task uses there: it is that of one user,
 * and any other one's lies in a file that pve-init has to itself.
 * @param user "try@pve"
 * @param file the path of that file
 * @param tokenId the sandbox's own: "homelab@pve!tasks"
 * @param sources the strongest first
 * @throws {UsageError} for a setting that is not valid, or a file that cannot be read
 */
export async function settingsOnSandbox(
  user: string,
  file: string,
  tokenId: string,
  sources: readonly Source[],
): Promise<InitSettings> {
  if (tokenNameOf(user, tokenId) !== undefined) return await loadSettings([], INIT_USES, sources);
  const own = { name: SANDBOX_FILE, values: onlyToken(await readOwn(file), true) };
  const others = sources.map(({ name, values }) => ({ name, values: onlyToken(values, false) }));
  return await loadSettings([], INIT_USES, [own, ...others]);
}

function onlyToken(values: Source["values"], wanted: boolean): Source["values"] {
  return Object.fromEntries(Object.entries(values).filter(([name]) => TOKEN.includes(name) === wanted));
}

async function readOwn(file: string): Promise<Source["values"]> {
  const { parse } = await import("dotenv");
  try {
    return parse(await readFile(file, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw new UsageError({
      what: `${file} cannot be read`,
      why: (error as Error).message,
      todo: ["See whose it is, and who may read it:", `$ ls -l ${file}`],
      cause: error,
    });
  }
}
