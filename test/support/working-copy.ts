import { cpSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { childEnv, type RunResult, run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";

/** What belongs to a clone and may be touched by a task. */
const PARTS = [
  "tasks",
  "lib",
  "k8s",
  "packer",
  "terraform",
  "package.json",
  "tsconfig.json",
  ".npmrc",
  ".yamllint.yaml",
] as const;
/** What a person's clone may have beside it. */
const OWN = /(\/\.terraform(\/|$)|\.tfstate|\.terraform\.lock\.hcl$|globals\.tfvars$|\/charts(\/|$))/;

/** A clone in an empty folder, with a home of its own, in which commands run as a person runs them. */
export class WorkingCopy {
  readonly root: string;
  readonly home: string;

  constructor() {
    const base = mkdtempSync(join(tmpdir(), "homelab-copy-"));
    this.root = join(base, "homelab");
    this.home = join(base, "home");
    for (const part of PARTS) {
      cpSync(join(ROOT, part), join(this.root, part), {
        recursive: true,
        // Links lead from file to file within the clone.
        verbatimSymlinks: true,
        filter: (path) => !OWN.test(path),
      });
    }
    symlinkSync(join(ROOT, "node_modules"), join(this.root, "node_modules"));
    cpSync(join(ROOT, ".editorconfig"), join(this.home, ".editorconfig"));
  }

  /** Run a command to its end, whatever its exit code. */
  async task(name: string, flags: readonly string[], env: Record<string, string> = {}): Promise<RunResult> {
    return await run(process.execPath, ["--import", "tsx", join("tasks", `${name}.ts`), ...flags], {
      cwd: this.root,
      env: this.env(env),
      allow: [0, 1, 2, 130],
    });
  }

  /** The environment of such a command: the tools' cache is the machine's, all else is the copy's own. */
  env(more: Record<string, string> = {}): NodeJS.ProcessEnv {
    const { HOMELAB_CACHE, XDG_CACHE_HOME, HOME } = process.env;
    const cache = HOMELAB_CACHE || join(XDG_CACHE_HOME || join(HOME ?? "", ".cache"), "homelab");
    return childEnv({ HOME: this.home, HOMELAB_CACHE: cache, ...more });
  }

  remove(): void {
    rmSync(join(this.root, ".."), { recursive: true, force: true, maxRetries: 3 });
  }
}

/** One line of --json output. */
export interface EventLine {
  readonly event: string;
  readonly title?: string;
  readonly state?: string;
  readonly depth?: number;
  readonly reason?: string;
  readonly ok?: boolean;
  readonly [field: string]: unknown;
}

/** The events on a command's stdout. @throws {SyntaxError} for a line that is not JSON */
export function eventsOf({ stdout }: RunResult): EventLine[] {
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as EventLine);
}

/** Makes working copies for the tests of a file, and removes them after the last one. */
export function workingCopies(): () => WorkingCopy {
  const copies: WorkingCopy[] = [];
  after(() => {
    for (const copy of copies) copy.remove();
  });
  return () => {
    const copy = new WorkingCopy();
    copies.push(copy);
    return copy;
  };
}
