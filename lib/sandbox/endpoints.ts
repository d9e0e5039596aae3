import { join } from "node:path";
import * as v from "valibot";
import { processIdentity } from "../process-identity.ts";
import { readIfThere } from "./world/index.ts";

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65535));

const endpointsSchema = v.object({
  /** With /api2/json, as PM_API_URL has it. */
  apiUrl: v.pipe(v.string(), v.url()),
  /** The cluster's own CA, PEM. */
  caFile: v.string(),
  /** "USER@REALM!TOKEN" */
  tokenId: v.string(),
  tokenSecret: v.string(),
  node: v.string(),
  sshHost: v.string(),
  sshPort: port,
  sshUser: v.string(),
  /** OpenSSH client configuration: identity and known host key; pass it with `ssh -F`. */
  sshConfigFile: v.string(),
  sshPublicKeyFile: v.string(),
  storage: v.string(),
  isoStorage: v.string(),
  bridge: v.string(),
});

/** Where a running sandbox is reached, and what a client needs to be let in. */
export type SandboxEndpoints = Readonly<v.InferOutput<typeof endpointsSchema>>;

const recordSchema = v.object({
  pid: v.pipe(v.number(), v.integer()),
  /** Tells the process from a later one with the same pid. */
  identity: v.string(),
  endpoints: endpointsSchema,
});

/** What `dir/sandbox.json` holds while a sandbox runs. */
export type SandboxRecord = Readonly<v.InferOutput<typeof recordSchema>>;

export function recordFile(dir: string): string {
  return join(dir, "sandbox.json");
}

/** The record of the sandbox that serves a directory, or undefined when none does. */
export function runningSandbox(dir: string): SandboxRecord | undefined {
  const text = readIfThere(recordFile(dir));
  if (text === undefined) return undefined;
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), recordSchema), text);
  if (!parsed.success) return undefined;
  return processIdentity(parsed.output.pid) === parsed.output.identity ? parsed.output : undefined;
}
