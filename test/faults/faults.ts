import type { FaultRule } from "../../lib/sandbox/index.ts";
import type { Fault } from "./pair.ts";

/** What goes wrong with Proxmox nodes and on the way to them. */

const ALWAYS = "always";

/** Where a rule strikes: the first thing that fits, unless it says otherwise. */
interface Place {
  readonly match?: string;
  readonly nth?: number;
  readonly count?: number | "always";
}

function api(place: Place, effect: Extract<FaultRule, { where: "api" }>["effect"]): FaultRule {
  return { where: "api", ...place, effect };
}

function named(name: string, { match, nth = 1 }: Place): string {
  const call = nth > 1 ? `, from call ${nth} on` : "";
  return `${name}${call}${match === undefined ? "" : ` (${match})`}`;
}

export const closedPort: Fault = {
  name: "nothing listens on the API's port",
  env: { PM_API_URL: "https://127.0.0.1:1/api2/json" },
};

export const nameGone: Fault = {
  name: "the node's name is gone from DNS",
  env: { PM_API_URL: "https://pve.invalid:8006/api2/json", PM_SSH_HOST: "pve.invalid" },
};

export const wrongToken: Fault = {
  name: "the token is another one's",
  env: { PM_API_TOKEN_SECRET: "00000000-1111-2222-3333-444444444444" },
};

export const slowApi: Fault = {
  name: "the API takes a minute for each answer",
  env: { PM_API_TIMEOUT: "1" },
  rules: [api({ count: ALWAYS }, { delay: 60_000 })],
};

export function revoked(place: Place = {}): Fault {
  return {
    name: named("the token is revoked", place),
    rules: [
      api(
        { count: ALWAYS, ...place },
        { status: 401, message: "no such token 'tasks' for user 'homelab@pve'" },
      ),
    ],
  };
}

export function forbidden(match: string, path: string, privilege: string): Fault {
  return {
    name: `the token lacks ${privilege} (${match})`,
    rules: [
      api(
        { match, count: ALWAYS },
        { status: 403, message: `Permission check failed (${path}, ${privilege})` },
      ),
    ],
  };
}

export function answers(status: number, message: string, place: Place = {}): Fault {
  return {
    name: named(`the node answers ${status}`, place),
    rules: [api({ count: ALWAYS, ...place }, { status, message })],
  };
}

/** A proxy or a login portal, in the node's place. */
export function page(status: number, place: Place = {}): Fault {
  return {
    name: named(`a proxy answers with a page (${status})`, place),
    rules: [api({ count: ALWAYS, ...place }, { page: status })],
  };
}

export function truncated(place: Place = {}): Fault {
  return {
    name: named("answers break off", place),
    rules: [api({ count: ALWAYS, ...place }, { truncate: 12 })],
  };
}

/** Once, so that whatever may be asked again is. */
export function reset(moment: "before" | "after", place: Place = {}): Fault {
  return {
    name: named(`a connection is reset ${moment} the work`, place),
    rules: [api(place, { reset: moment })],
  };
}

/** All calls and logins end at once. */
export function reboot(place: Place = {}): Fault {
  return {
    name: named("the node reboots", place),
    rules: [
      api({ count: ALWAYS, ...place }, { reset: "before" }),
      { where: "ssh", count: ALWAYS, effect: { refuse: true } },
    ],
  };
}

export function certificate(kind: "expired" | "foreign", nth = 1): Fault {
  const words = kind === "expired" ? "the certificate has expired" : "another certificate is shown";
  return {
    name: named(words, { nth }),
    rules: [{ where: "tls", nth, count: ALWAYS, effect: { certificate: kind } }],
  };
}

/** As while a backup or a migration holds the VM. */
export function locked(match: string): Fault {
  return { name: `a backup holds the VM (${match})`, rules: [api({ match, count: ALWAYS }, { lock: true })] };
}

export function taskFails(match: string, words: string): Fault {
  return {
    name: `the task ${match} fails: ${words}`,
    rules: [{ where: "task", match, effect: { fail: words } }],
  };
}

export function vanishes(match: string, moment: "before" | "after" = "before"): Fault {
  return {
    name: `the task ${match} vanishes ${moment} its work`,
    rules: [{ where: "task", match, effect: { vanish: moment } }],
  };
}

export function offline(storage: string): Fault {
  return {
    name: `the storage ${storage} is offline`,
    rules: [{ where: "storage", match: storage, effect: { offline: true } }],
  };
}

export function full(storage: string): Fault {
  return {
    name: `the storage ${storage} is full`,
    rules: [{ where: "storage", match: storage, effect: { size: 1024 ** 2 } }],
  };
}

function ssh(name: string, effect: Extract<FaultRule, { where: "ssh" }>["effect"], place: Place = {}): Fault {
  return { name: named(name, place), rules: [{ where: "ssh", count: ALWAYS, ...place, effect }] };
}

export const sshClosed: Fault = { name: "nothing listens on the SSH port", env: { PM_SSH_PORT: "1" } };
export const sshRefused = ssh("SSH connections end at once", { refuse: true });
export const sshWrongKey = ssh("the node has another host key", { hostKey: "foreign" });
export const sshLockedOut = ssh("the node lets no key in", { auth: "refused" });
export const sshSlow = ssh("SSH answers late", { delay: 150 });

export function sshDrops(bytes: number, place: Place = {}): Fault {
  return ssh(`SSH breaks after ${bytes} bytes`, { drop: bytes }, place);
}

/** The connection is gone while a command is at work. */
export function breaksDuring(match: string): Fault {
  return {
    name: `SSH breaks during ${match}`,
    rules: [
      { where: "command", match, effect: { break: true } },
      { where: "ssh", nth: 2, count: ALWAYS, effect: { refuse: true } },
    ],
  };
}

export function commandFails(match: string, stderr: string, exit = 1): Fault {
  return {
    name: `${match} fails: ${stderr}`,
    rules: [{ where: "command", match, count: ALWAYS, effect: { exit, stderr: `${stderr}\n` } }],
  };
}

export function commandSays(match: string, stdout: string, name: string): Fault {
  return { name, rules: [{ where: "command", match, effect: { exit: 0, stdout } }] };
}

/** What comes over SSH finds no room. */
export function noRoom(path: string, bytes: number): Fault {
  return {
    name: `${path} is full after ${bytes} bytes`,
    rules: [{ where: "files", match: path, count: ALWAYS, effect: { full: bytes } }],
  };
}
