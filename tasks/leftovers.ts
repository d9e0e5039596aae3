import { messageOf, TaskError } from "../lib/errors.ts";
import { formatBytes } from "../lib/progress.ts";
import {
  apiFrom,
  isUploadLocked,
  type Leftover,
  leftoversByApi,
  leftoversBySsh,
  type NodeShell,
  type ProxmoxApi,
  shellFrom,
} from "../lib/proxmox/index.ts";
import { alone, defineCommand, hasTerminal, main, type Step, sameRun } from "../lib/task/index.ts";
import { interrupted } from "../lib/tofu/index.ts";
import { type LeftHalfMadeDeps, leftHalfMade } from "./environment/left-half-made.ts";

export interface LeftoversDeps {
  readonly api: ProxmoxApi;
  readonly node: string;
  /** SSH to the node as root; undefined where there is none, and nothing that only root sees is looked for. */
  readonly shell: NodeShell | undefined;
  /** What interrupted runs of OpenTofu have left; left out, it is not looked for. */
  readonly environments?: Omit<LeftHalfMadeDeps, "api">;
  /** Why nothing is to be removed: it is listed alone. */
  readonly listOnly?: string | undefined;
  /** The node's time, milliseconds since the epoch; left out, the node's own clock counts. */
  now?(): number;
  /** What this machine knows of a build, by the image's name and the run's eight digits. */
  fateOfBuild?(name: string, run: string): "ended" | "goes on" | "unknown";
}

/** What was found, with why it was left alone, and what of it was removed. */
export interface LeftoversResult {
  readonly found: readonly Leftover[];
  readonly removed: readonly Leftover[];
}

/** List what runs that did not end well have left on the node, and remove it once that is agreed to. */
export function leftoversSteps(deps: LeftoversDeps, done: (result: LeftoversResult) => void): Step[] {
  let found: readonly Leftover[] = [];
  const free = (): Leftover[] => found.filter(({ busy }) => busy === undefined);
  return [
    {
      title: "Look for what was left on the node",
      async run({ signal, note }) {
        found = await look(deps, signal, note);
        for (const each of found) note(lineOf(each));
        done({ found, removed: [] });
      },
    },
    {
      title: "Remove it",
      skip: () => {
        if (found.length === 0) return "nothing was left";
        if (free().length === 0) return "all of it is still in use";
        return deps.listOnly ?? false;
      },
      async run({ confirm, offer, output, note, signal }) {
        const sure = free().filter(({ doubt }) => doubt === undefined);
        const chosen: Leftover[] = [];
        if (
          sure.length > 0 &&
          (await confirm(`Remove ${sure.length === 1 ? "it" : `these ${sure.length}`}?`))
        )
          chosen.push(...sure);
        for (const each of free().filter(({ doubt }) => doubt !== undefined)) {
          if (await offer(`Remove ${each.kind} ${each.name} as well? ${sentence(each.doubt)}`))
            chosen.push(each);
        }
        const removed: Leftover[] = [];
        const failures: string[] = [];
        for (const each of chosen) {
          output(each.name);
          try {
            const busy = await each.remove(signal);
            if (busy === undefined) removed.push(each);
            else {
              note(`${each.name} was left alone: ${busy}`);
              found = found.map((other) => (other === each ? { ...each, busy } : other));
            }
          } catch (error) {
            signal.throwIfAborted();
            failures.push(`${each.name}: ${messageOf(error)}`);
          }
        }
        done({ found, removed });
        if (failures.length === 0) return;
        throw new TaskError({
          what: `${failures.length} of ${chosen.length} could not be removed`,
          why: failures.join("\n"),
          todo: ["Run it again once that is mended:", "$ npm run leftovers"],
          left: removed.map(({ name }) => `${name} was removed`),
        });
      },
    },
  ];
}

async function look(
  { api, node, shell, environments, now, fateOfBuild }: LeftoversDeps,
  signal: AbortSignal,
  note: (line: string) => void,
): Promise<Leftover[]> {
  let bySsh: Leftover[] | undefined;
  // Whoever uploads by the API alone need not have a way to log in.
  if (shell !== undefined) {
    bySsh = await leftoversBySsh(shell, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      note(`Sent images were not looked for: ${firstLine(error)}`);
      return undefined;
    });
  }
  const isLocked =
    shell === undefined || bySsh === undefined
      ? undefined
      : async (name: string, aborted: AbortSignal) => await isUploadLocked(shell, name, aborted);
  const [byApi, halfMade] = await Promise.all([
    leftoversByApi({ api, node, isLocked, now, fateOfBuild }, signal),
    environments === undefined ? [] : leftHalfMade({ api, ...environments }, signal),
  ]);
  return [...byApi, ...halfMade, ...(bySsh ?? [])];
}

/** "sent image: /var/lib/…, 1.2 GiB, run 0badc0de by ann@laptop since 2026-11-26T14:57:55Z" */
function lineOf({ kind, name, bytes, run, busy, doubt }: Leftover): string {
  const more = [
    ...(bytes === undefined ? [] : [formatBytes(bytes)]),
    ...(run === undefined
      ? []
      : [typeof run === "string" ? `run ${run}` : `run ${run.id} by ${run.by} since ${run.since}`]),
    ...(busy === undefined ? [] : [`left alone: ${busy}`]),
    ...(busy !== undefined || doubt === undefined ? [] : [`asked about by itself: ${doubt}`]),
  ];
  return `${kind}: ${name}${more.length === 0 ? "" : `, ${more.join(", ")}`}`;
}

function sentence(text = ""): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function firstLine(error: unknown): string {
  return messageOf(error).split("\n")[0] ?? "";
}

/** How what is left is removed, by whom nobody could ask. */
function waysToRemove(left: readonly Leftover[]): string[] {
  const free = left.filter(({ busy }) => busy === undefined);
  return [
    ...(free.some(({ doubt }) => doubt === undefined) ? ["Remove it:", "$ npm run leftovers -- --yes"] : []),
    ...(free.some(({ doubt }) => doubt !== undefined)
      ? ["What is asked about by itself, on a terminal:", "$ npm run leftovers"]
      : []),
  ];
}

const command = defineCommand({
  name: "leftovers",
  summary:
    "List what interrupted runs have left on the node (VMs, sent images, unused disks of ours), and offer to remove it",
  ownDryRun: true,
  requires: ["PM_API_URL", "PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"],
  uses: [
    "PM_TLS_CA",
    "PM_TLS_FINGERPRINT",
    "PM_TLS_INSECURE",
    "PM_API_TIMEOUT",
    "PM_NODE",
    "PM_SSH_HOST",
    "PM_SSH_USER",
    "PM_SSH_PORT",
    "PM_SSH_CONFIG",
  ],
  async run(context) {
    const { settings, flags, root, sandbox } = context;
    const api = apiFrom(settings);
    const shell = shellFrom(settings);
    let listOnly: string | undefined;
    if (flags.dryRun) listOnly = "--dry-run";
    else if (!flags.yes && !hasTerminal()) listOnly = "there is no terminal to ask on";
    const { recordOf } = await import("./image-build/packer.ts");
    const deps: LeftoversDeps = {
      api,
      node: settings.PM_NODE,
      shell,
      listOnly,
      fateOfBuild: (name, run) => recordOf({ root, name }).fateOf(run),
      environments: {
        interrupted: async (guests) => await interrupted(guests, root, sandbox?.dir),
        alone: async (environment, action) => await alone(context, environment, action),
      },
    };
    let result: LeftoversResult = { found: [], removed: [] };
    try {
      await context.steps(
        leftoversSteps(deps, (each) => {
          result = each;
        }),
      );
    } finally {
      await shell.close();
      await api.close();
    }
    const { found, removed } = result;
    const left = found.filter((each) => !removed.includes(each));
    const todo = sameRun(waysToRemove(left), flags);
    const lines = [
      ...removed.map(({ name }) => `removed ${name}`),
      ...left.map((each) => `left ${lineOf(each)}`),
      ...todo,
    ];
    context.result(lines.length === 0 ? "Nothing was left on the node" : lines.join("\n"), {
      ...(flags.dryRun ? { dryRun: true } : {}),
      found: found.map(dataOf),
      removed: removed.map(dataOf),
      todo,
    });
  },
});

function dataOf({ kind, name, bytes, run, busy, doubt }: Leftover): Record<string, unknown> {
  return { kind, name, bytes, run, busy, doubt };
}

await main(import.meta.url, command);
