import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "dotenv";
import type { RunResult } from "../../lib/process.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { sandboxSettings } from "../../lib/task/index.ts";
import { startCommand } from "./command-line.ts";
import { PveApi } from "./pve.ts";
import { WorkingCopy } from "./working-copy.ts";

/** Who may do what, as the sandbox keeps it, without the hashes of secrets. */
export interface Access {
  readonly users: readonly {
    readonly userid: string;
    readonly comment?: string;
    readonly tokens: Readonly<Record<string, { readonly privsep: boolean; readonly comment?: string }>>;
  }[];
  readonly roles: Readonly<Record<string, readonly string[]>>;
  readonly acl: readonly {
    readonly path: string;
    readonly type: string;
    readonly ugid: string;
    readonly roleid: string;
    readonly propagate: boolean;
  }[];
}

/** Where a run is killed: at the n-th call of ssh, before the node gets its command or at once after it has. */
export interface KillAt {
  readonly call: number;
  readonly done: boolean;
}

/** A clone and a node of its own, which the clone's settings lead to; no token and no CA are among them. */
export class InitLab {
  readonly copy = new WorkingCopy();
  readonly sandbox: Sandbox;
  readonly #bin = join(this.copy.root, "..", "bin");

  private constructor(sandbox: Sandbox) {
    this.sandbox = sandbox;
    mkdirSync(this.#bin);
    // Stands before the real one: notes what it is called with, and may kill the task.
    const script = `#!/bin/sh
cd "${this.#bin}" || exit 1
printf '%s\\n' "$@" >> arguments
echo >> calls
at=$(wc -l < calls)
if [ -e kill-before ] && [ "$at" -eq "$(cat kill-before)" ]; then kill -9 "$(cat pid)"; exit 255; fi
if [ -e kill-after ] && [ "$at" -eq "$(cat kill-after)" ]; then /usr/bin/ssh "$@"; kill -9 "$(cat pid)"; exit 255; fi
exec /usr/bin/ssh "$@"
`;
    writeFileSync(join(this.#bin, "ssh"), script);
    chmodSync(join(this.#bin, "ssh"), 0o755);
  }

  static async open(dir: string, release: 8 | 9): Promise<InitLab> {
    return new InitLab(await startSandbox({ dir, release }));
  }

  async close(): Promise<void> {
    await this.sandbox.stop();
    this.copy.remove();
  }

  get dotenv(): string {
    return join(this.copy.root, ".env");
  }

  /** What .env says. */
  saved(): Readonly<Record<string, string>> {
    return existsSync(this.dotenv) ? parse(readFileSync(this.dotenv, "utf8")) : {};
  }

  dotenvMode(): string {
    return (statSync(this.dotenv).mode & 0o777).toString(8);
  }

  /** Run the task to its end, or until it is killed. */
  async init(
    flags: readonly string[],
    { env = {}, kill }: { readonly env?: Readonly<Record<string, string>>; readonly kill?: KillAt } = {},
  ): Promise<RunResult> {
    for (const name of ["calls", "kill-before", "kill-after"]) rmSync(join(this.#bin, name), { force: true });
    if (kill !== undefined)
      writeFileSync(join(this.#bin, kill.done ? "kill-after" : "kill-before"), String(kill.call));
    const {
      PM_API_TOKEN_ID: _,
      PM_API_TOKEN_SECRET: __,
      PM_TLS_CA: ___,
      ...settings
    } = sandboxSettings(this.sandbox);
    const { child, ended } = startCommand(
      process.execPath,
      ["--import", "tsx", "tasks/pve-init.ts", ...flags],
      {
        cwd: this.copy.root,
        env: {
          ...(this.copy.env() as Record<string, string>),
          ...settings,
          ...env,
          PATH: `${this.#bin}:${process.env.PATH}`,
        },
      },
    );
    writeFileSync(join(this.#bin, "pid"), String(child.pid));
    child.stdin?.end();
    const { code, stdout, stderr } = await ended;
    return { exitCode: code, stdout, stderr };
  }

  /** How often ssh was called by the last run. */
  calls(): number {
    return readFileSync(join(this.#bin, "calls"), "utf8").length;
  }

  /** Every word that ssh was ever called with. */
  arguments(): string {
    return readFileSync(join(this.#bin, "arguments"), "utf8");
  }

  /** The node's own record of who may do what, users by name: it keeps them in an order of its own. */
  access(): Access {
    const text = readFileSync(join(this.sandbox.dir, "state", "access.json"), "utf8");
    const access = JSON.parse(text, (key, value: unknown) =>
      key === "secretHash" ? undefined : value,
    ) as Access;
    return { ...access, users: [...access.users].sort((a, b) => a.userid.localeCompare(b.userid)) };
  }

  /** The API as whoever has the token in .env sees it, or that of somebody else. */
  api({ PM_API_TOKEN_ID = "", PM_API_TOKEN_SECRET = "" } = this.saved()): PveApi {
    return new PveApi({
      ...this.sandbox.endpoints,
      tokenId: PM_API_TOKEN_ID,
      tokenSecret: PM_API_TOKEN_SECRET,
    });
  }
}

/** What belongs to a user and to the roles of a prefix, with both names made the same. */
export function partOf(access: Access, user: string, prefix: string): unknown {
  const part = {
    users: access.users.filter(({ userid }) => userid === user),
    roles: Object.fromEntries(Object.entries(access.roles).filter(([name]) => name.startsWith(prefix))),
    acl: access.acl.filter(({ ugid }) => ugid === user || ugid.startsWith(`${user}!`)),
  };
  return JSON.parse(JSON.stringify(part).replaceAll(user, "USER").replaceAll(prefix, "PREFIX"));
}
