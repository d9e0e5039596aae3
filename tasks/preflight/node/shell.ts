import type { Finding } from "../../../lib/check/index.ts";
import { messageOf, TaskError } from "../../../lib/errors.ts";
import { CommandError } from "../../../lib/process.ts";
import { isHostKeyFailure, version } from "../../../lib/proxmox/index.ts";
import { elsewhere, type NodeLook, seen } from "./look.ts";
import { addContent } from "./places.ts";

/** Whether the node's host key is known, and the one that it shows. */
export async function hostKeyFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  try {
    await look.login(signal);
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof TaskError && isHostKeyFailure(error)) throw error;
    // The key comes first: where nobody is let in, it was the right one.
    if (!/Permission denied/.test(messageOf(error)))
      throw elsewhere("there is no SSH to the node", "node/ssh");
  }
  return [seen(`${look.shell.target.host} shows the host key that is known here`)];
}

/** Whether the node lets us in. */
export async function loginFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const { user, host } = look.shell.target;
  try {
    await look.login(signal);
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof TaskError) || !isHostKeyFailure(error)) throw error;
    throw elsewhere("no key is sent to a node whose own is not known", "node/host-key");
  }
  return [seen(`${user}@${host} lets us in`)];
}

/** Whether disks can be imported by us: qm is there, and we are root. */
export async function qmFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const lack = await lackOfQm(look, signal);
  if (lack === undefined) return [seen("qm is there, and we are root")];
  return [
    { state: "failed", evidence: lack, fix: ["Set PM_SSH_USER=root, and PM_SSH_HOST to the node itself"] },
  ];
}

/** What is in the way of qm; undefined for nothing. */
async function lackOfQm(look: NodeLook, signal: AbortSignal): Promise<string | undefined> {
  const { user, host } = look.shell.target;
  const list = await look.run(["qm", "list"], signal).then(
    () => undefined,
    (error: unknown) => {
      if (!(error instanceof CommandError)) throw error;
      return messageOf(error);
    },
  );
  if ((await look.userId(signal)) !== "0")
    return `${user} is not root on ${host}: qm takes a file of the node from nobody else`;
  return list === undefined ? undefined : `qm cannot be used on ${host}: ${list}`;
}

/** By which of the two ways an image can come onto the node. */
export async function uploadFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const [ssh, api] = await Promise.all([sshWay(look, signal), apiWay(look, signal)]);
  const told = [ssh, api];
  if (told.some(({ state }) => state === "ok")) {
    // One is enough.
    return told.map((each) => (each.state === "failed" ? { ...each, state: "ok" } : each));
  }
  return told;
}

async function sshWay(look: NodeLook, signal: AbortSignal): Promise<Finding> {
  const way = "--via ssh (the default)";
  const lack = await lackOfQm(look, signal).catch((error: unknown) => {
    signal.throwIfAborted();
    return messageOf(error).replace(/^Not known: /, "");
  });
  if (lack === undefined) return seen(`${way} works: as root, and can be resumed`);
  return {
    state: "failed",
    evidence: `${way} does not work: ${lack}`,
    fix: ["Mend SSH to the node, as root:", "$ npm run preflight -- --only node/ssh,node/qm"],
  };
}

async function apiWay(look: NodeLook, signal: AbortSignal): Promise<Finding> {
  const way = "--via api";
  try {
    const [storages, release] = await look.ask(
      signal,
      async (facts, api) => await Promise.all([facts.storages(), version(api, signal)]),
    );
    const able = storages.filter(
      ({ active, enabled, content }) => active && enabled && content.includes("import"),
    );
    if (able.length > 0) {
      const names = able.map(({ name }) => name).join(", ");
      return seen(`${way} works: with the token alone, by the storage ${names}`);
    }
    const evidence = `${way} does not work: no storage that the token sees takes images to import (content type import)`;
    const [major = 0, minor = 0] = release.split(".").map(Number);
    if (major < 8 || (major === 8 && minor < 4)) {
      return {
        state: "failed",
        evidence: `${evidence}; Proxmox VE ${release} knows none`,
        fix: ["Upgrade the node to 8.4 or newer, or use --via ssh"],
      };
    }
    const isos = storages.find(({ name }) => name === look.settings.PM_ISO_STORAGE);
    const repair = isos === undefined ? undefined : addContent(isos, "import", look.shell);
    return {
      state: "failed",
      evidence,
      fix:
        repair === undefined
          ? ["Let a directory storage take them, in Datacenter → Storage"]
          : ["Let one take them, on the node:", ...repair.shows],
      ...(repair === undefined ? {} : { repair }),
    };
  } catch (error) {
    signal.throwIfAborted();
    const why = messageOf(error).replace(/^Not known: /, "");
    return { state: "failed", evidence: `${way} does not work: ${why}`, fix: [] };
  }
}
