import { messageOf, TaskError } from "../lib/errors.ts";
import { formatBytes } from "../lib/progress.ts";
import {
  apiFrom,
  type Leftover,
  leftoversByApi,
  leftoversBySsh,
  type NodeShell,
  type ProxmoxApi,
  shellFrom,
} from "../lib/proxmox/index.ts";
import { defineCommand, main, type Step } from "../lib/task/index.ts";

export interface LeftoversDeps {
  readonly api: ProxmoxApi;
  readonly node: string;
  /** SSH to the node as root; undefined where there is none, and nothing that only root sees is looked for. */
  readonly shell: NodeShell | undefined;
}

/** What was found, and what of it was removed. */
export interface LeftoversResult {
  readonly found: readonly Leftover[];
  readonly removed: readonly Leftover[];
}

/** List what runs that did not end well have left on the node, and remove it once that is agreed to. */
export function leftoversSteps(
  { api, node, shell }: LeftoversDeps,
  done: (result: LeftoversResult) => void,
): Step[] {
  let found: readonly Leftover[] = [];
  const removable = (): Leftover[] => found.filter(({ busy }) => busy === undefined);
  return [
    {
      title: "Look for what was left on the node",
      async run({ signal, note }) {
        const byApi = leftoversByApi(api, node, signal);
        byApi.catch(() => {});
        // Waited for first, also when the other way fails: a login that is still under way would leave its socket behind.
        const bySsh =
          // Whoever uploads by the API alone need not have a way to log in.
          shell === undefined
            ? []
            : await leftoversBySsh(shell, signal).catch((error: unknown) => {
                signal.throwIfAborted();
                note(`Sent images were not looked for: ${firstLine(error)}`);
                return [];
              });
        found = [...(await byApi), ...bySsh];
        for (const each of found) note(lineOf(each));
        done({ found, removed: [] });
      },
    },
    {
      title: "Remove it",
      skip: () => {
        if (found.length === 0) return "nothing was left";
        return removable().length === 0 && "all of it is still in use";
      },
      async run({ confirm, output, signal }) {
        const all = removable();
        if (!(await confirm(`Remove ${all.length === 1 ? "it" : `these ${all.length}`}?`))) return;
        const removed: Leftover[] = [];
        const failures: string[] = [];
        for (const each of all) {
          output(each.name);
          try {
            await each.remove(signal);
            removed.push(each);
          } catch (error) {
            signal.throwIfAborted();
            failures.push(`${each.name}: ${messageOf(error)}`);
          }
        }
        done({ found, removed });
        if (failures.length === 0) return;
        throw new TaskError({
          what: `${failures.length} of ${all.length} could not be removed`,
          why: failures.join("\n"),
          todo: ["Run it again once that is mended:", "$ npm run leftovers"],
          left: removed.map(({ name }) => `${name} was removed`),
        });
      },
    },
  ];
}

/** "sent image  /var/lib/…  1.2 GiB, by ann@laptop since 2026-11-26T14:57:55Z" */
function lineOf({ kind, name, bytes, run, busy }: Leftover): string {
  const more = [
    ...(bytes === undefined ? [] : [formatBytes(bytes)]),
    ...(run === undefined
      ? []
      : [typeof run === "string" ? `run ${run}` : `run ${run.id} by ${run.by} since ${run.since}`]),
    ...(busy === undefined ? [] : [`left alone: ${busy}`]),
  ];
  return `${kind}: ${name}${more.length === 0 ? "" : `, ${more.join(", ")}`}`;
}

function firstLine(error: unknown): string {
  return messageOf(error).split("\n")[0] ?? "";
}

const command = defineCommand({
  name: "leftovers",
  summary:
    "List what interrupted runs have left on the node (VMs, sent images, unused disks of ours), and offer to remove it",
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
    const { settings } = context;
    const api = apiFrom(settings);
    const shell = shellFrom(settings);
    let result: LeftoversResult = { found: [], removed: [] };
    try {
      await context.steps(
        leftoversSteps({ api, node: settings.PM_NODE, shell }, (each) => {
          result = each;
        }),
      );
    } finally {
      await shell.close();
      await api.close();
    }
    const { found, removed } = result;
    const lines = [
      ...removed.map(({ name }) => `removed ${name}`),
      ...found.filter((each) => !removed.includes(each)).map((each) => `left ${lineOf(each)}`),
    ];
    context.result(lines.length === 0 ? "Nothing was left on the node" : lines.join("\n"), {
      found: found.map(dataOf),
      removed: removed.map(dataOf),
    });
  },
});

function dataOf({ kind, name, bytes, run, busy }: Leftover): Record<string, unknown> {
  return { kind, name, bytes, run, busy };
}

await main(import.meta.url, command);
