import { createWriteStream } from "node:fs";
import { join } from "node:path";
import { processIdentity } from "../process-identity.ts";
import { type ApiServer, createDispatch, serveApi } from "./api/index.ts";
import { recordFile, type SandboxEndpoints, type SandboxRecord } from "./endpoints.ts";
import { Faults, faultControl } from "./faults/index.ts";
import {
  emptyGuests,
  type GuestRuntime,
  type NodeContext,
  type NodeServer,
  type SandboxContext,
} from "./hooks.ts";
import { resumeAll } from "./operations/index.ts";
import { NAMES, sandboxPlan, tokenSecret } from "./seed.ts";
import { openWorld, type PveRelease, removeIfThere, writeFileAtomic } from "./world/index.ts";

/** The parts beside the API. */
export interface Parts {
  /** Makes what runs inside the VMs. */
  guests?(context: Pick<SandboxContext, "world" | "log">): Promise<GuestRuntime>;
  /** Makes the node's SSH side. */
  node?(context: NodeContext): Promise<NodeServer>;
}

export interface RunningServer {
  readonly endpoints: SandboxEndpoints;
  close(): Promise<void>;
}

/** How often the node's statistics take notice of new VMs; a real node does every ten seconds. */
const STATISTICS_MS = 2000;

/**
 * Serve the sandbox in a directory from within this process: its API, its SSH side, its guests.
 * The caller holds the claim on the directory.
 * @param release of Proxmox VE that a new node is; one that is there already stays what it is
 */
export async function serveSandbox(
  dir: string,
  parts: Parts = {},
  release: PveRelease = 9,
): Promise<RunningServer> {
  const { log, end } = openLog(dir);
  const secret = tokenSecret(dir);
  // What failed on purpose the last time does not fail again.
  faultControl(dir).clear();
  const faults = new Faults(dir, log);
  const world = openWorld(dir, sandboxPlan(secret, release), { interference: faults });
  const guests = (await parts.guests?.({ world, log })) ?? emptyGuests;
  const dispatch = createDispatch(world, guests);
  const api = await serveApi(world, dispatch, { log, faults });
  const node = await parts.node?.({ world, dispatch, log, faults });
  const statistics = setInterval(() => world.statistics.gather(), STATISTICS_MS);
  const endpoints = describe(api, node, secret);
  const record: SandboxRecord = {
    pid: process.pid,
    identity: processIdentity(process.pid) ?? "",
    endpoints,
  };
  writeFileAtomic(recordFile(dir), `${JSON.stringify(record, null, 2)}\n`);
  log(`serving ${endpoints.apiUrl}`);
  const resumed = resumeAll({ world, guests, caller: { user: "root@pam" } }, log);
  return {
    endpoints,
    close: async () => {
      removeIfThere(recordFile(dir));
      clearInterval(statistics);
      await resumed;
      await api.close();
      await node?.close();
      await world.tasks.close();
      await guests.close();
      log("ended");
      await end();
    },
  };
}

function describe(api: ApiServer, node: NodeServer | undefined, secret: string): SandboxEndpoints {
  return {
    apiUrl: api.url,
    caFile: api.caFile,
    tokenId: `${NAMES.user}!${NAMES.token}`,
    tokenSecret: secret,
    node: NAMES.node,
    sshHost: "127.0.0.1",
    sshPort: node?.sshPort ?? 22,
    sshUser: node?.sshUser ?? "root",
    sshConfigFile: node?.sshConfigFile ?? "",
    sshPublicKeyFile: node?.sshPublicKeyFile ?? "",
    storage: NAMES.storage,
    isoStorage: NAMES.isoStorage,
    bridge: NAMES.bridge,
  };
}

/** The sandbox's own log; nobody may be left to read what it prints. */
function openLog(dir: string): { log: (line: string) => void; end: () => Promise<void> } {
  const stream = createWriteStream(join(dir, "sandbox.log"), { flags: "a", mode: 0o600 });
  return {
    log: (line) => void stream.write(`${new Date().toISOString()} ${line}\n`),
    end: async () => await new Promise<void>((resolve) => stream.end(() => resolve())),
  };
}
