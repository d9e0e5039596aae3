import { join } from "node:path";
import { InterruptedError, TaskError } from "../lib/errors.ts";
import { tryLock } from "../lib/lock.ts";
import { createSparseQcow2 } from "../lib/proxmox/index.ts";
import {
  demoDirectory,
  endSandbox,
  isRunning,
  removeSandbox,
  type Sandbox,
  startSandbox,
} from "../lib/sandbox/index.ts";
import {
  defineCommand,
  main,
  type Step,
  sameRun,
  sandboxSettings,
  type TaskContext,
} from "../lib/task/index.ts";
import { Deploy, nextSteps, settingsFrom } from "./deploy.ts";
import { statusLines } from "./status/screen.ts";
import { statusData, statusOf, statusSteps } from "./status.ts";

/** Bytes of the demo's disk, as a guest would see them; a fresh qcow2 takes next to none of it. */
const DISK_BYTES = 2 * 1024 ** 3;

type DemoContext = Pick<TaskContext, "root" | "steps" | "result"> & {
  readonly flags: { readonly keep: boolean };
};

const KEPT = [
  "The sandbox goes on running; every command finds it with --sandbox, for example:",
  "  $ npm run status -- --sandbox",
  "End it and remove it:",
  "  $ npm run demo -- --end",
];
const OVER = [
  "All of this was real but for the Proxmox node, its VMs and the containers, which were simulated.",
  "  Look around in it   npm run demo -- --keep",
  '  Your own node       README.md, "On your own node"',
];

/** A sandbox with nothing in it. What an interrupted demo has left is removed: the folder is the demo's alone. */
async function freshSandbox(dir: string, signal: AbortSignal): Promise<Sandbox> {
  if (isRunning(dir)) {
    throw new TaskError({
      what: "A demo that was kept is still running",
      todo: [
        "Look at it:",
        "$ npm run status -- --sandbox",
        "Or end it, and remove it:",
        "$ npm run demo -- --end",
      ],
    });
  }
  await removeSandbox(dir);
  return await startSandbox({ dir, signal });
}

function cleanUp(dir: string, end: () => Promise<unknown>): Step {
  return {
    title: "Clean up: end the sandbox, remove its files",
    async run() {
      await end();
      await removeSandbox(dir);
    },
  };
}

/** The whole way on a sandbox that is running, its status, and the end of it. */
async function walk(context: DemoContext, sandbox: Sandbox): Promise<void> {
  const { root, flags } = context;
  const { dir } = sandbox;
  const image = join(dir, "image.qcow2");
  const settings = await settingsFrom([{ name: "the sandbox", values: sandboxSettings(sandbox) }]);
  const deploy = new Deploy({ settings, root, sandbox, image });
  const status = statusOf(settings);
  const lines: string[] = [];
  const makeImage: Step = {
    title: "Make an image: a valid, empty qcow2, for the sandbox boots no kernel",
    run: async () => await createSparseQcow2(image, DISK_BYTES),
  };
  try {
    await context.steps([
      makeImage,
      ...(await deploy.steps()),
      ...statusSteps(settings, deploy.cluster, status, dir),
    ]);
    lines.push(
      ...statusLines(status, {
        simulated: true,
        width: process.stdout.columns,
        sameRun: (todo) => sameRun(todo, { sandbox: true, env: undefined }),
      }),
      "",
    );
    if (flags.keep) lines.push(...nextSteps(await deploy.result(), true), "", ...KEPT);
    else lines.push(...OVER);
  } finally {
    await deploy.close();
  }
  if (flags.keep) await sandbox.keep();
  else await context.steps([cleanUp(dir, async () => await sandbox.stop())]);
  context.result(lines.join("\n"), { status: statusData(status), kept: flags.keep });
}

const command = defineCommand({
  name: "demo",
  summary:
    "The whole way on a fresh embedded node, then its status, then clean up: needs no hardware, no settings",
  flags: {
    keep: {
      type: "boolean",
      about: "leave the sandbox running, for kubectl and for the other commands with --sandbox",
    },
    end: { type: "boolean", about: "end a demo that was kept, and remove it" },
  },
  ownSandbox: true,
  unattended: true,
  async run(context) {
    const { root, flags } = context;
    const dir = demoDirectory(root);
    const lock = tryLock(join(root, ".homelab", "demo.lock"));
    if (!lock.held) {
      throw new TaskError({
        what: "Another demo is under way",
        why: `Process ${lock.holder} runs it`,
        todo: ["Wait until it is done, or end it with Ctrl-C where it runs"],
      });
    }
    let node: Sandbox | undefined;
    try {
      if (flags.end) {
        await context.steps([cleanUp(dir, async () => await endSandbox(dir))]);
        return context.result("The demo is ended and removed");
      }
      await context.steps([
        {
          title: "Start a fresh embedded Proxmox node",
          run: async ({ signal }) => {
            node = await freshSandbox(dir, signal);
          },
        },
      ]);
      if (node !== undefined) await walk(context, node);
    } catch (error) {
      await node?.stop();
      if (!(error instanceof TaskError)) throw error;
      if (!(error instanceof InterruptedError)) {
        throw error.withLeft([`The demo's files, logs among them, stay in ${dir} until the next demo`]);
      }
      await removeSandbox(dir);
      throw error.withLeft(["The demo's sandbox was ended and removed, with everything in it"]);
    } finally {
      lock.release();
    }
  },
});

await main(import.meta.url, command);
