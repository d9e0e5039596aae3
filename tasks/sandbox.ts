import { TaskError } from "../lib/errors.ts";
import {
  readFaults,
  removeSandbox,
  type Sandbox,
  sandboxDirectory,
  startSandbox,
} from "../lib/sandbox/index.ts";
import { defineCommand, main } from "../lib/task/index.ts";

const command = defineCommand({
  name: "sandbox",
  summary: "Run the embedded, simulated Proxmox node until Ctrl-C; other commands find it with --sandbox",
  flags: {
    reset: {
      type: "boolean",
      about: "begin with an empty node: its VMs, templates and cluster are removed first",
    },
    faults: {
      type: "string",
      value: "FILE",
      about:
        "let calls, tasks and commands fail by the rules in FILE (docs/sandbox-faults.md), also on a sandbox that runs; none ends them",
    },
  },
  ownSandbox: true,
  async run(context) {
    const dir = sandboxDirectory(context.root);
    const faults = context.flags.faults === undefined ? undefined : await readFaults(context.flags.faults);
    let node: Sandbox | undefined;
    await context.steps([
      {
        title: "Empty the sandbox",
        skip: () => (context.flags.reset ? false : "its state is kept (--reset removes it)"),
        run: async ({ confirm, signal }) => {
          if (!(await confirm(`Remove everything in ${dir}?`))) return;
          // Whoever starts it holds its lock: nobody else can be serving the directory then.
          const held = await startSandbox({ dir, signal });
          if (held.attached) {
            throw new TaskError({
              what: "The sandbox is running",
              why: "Its state cannot be removed under it",
              todo: ["End it first: Ctrl-C where it runs"],
            });
          }
          await held.stop();
          await removeSandbox(dir);
        },
      },
      {
        title: "Start the embedded node",
        run: async ({ signal }) => {
          node = await startSandbox({
            dir,
            signal,
            ...(faults === undefined ? {} : { faults }),
            ...(context.flags.verbose ? { log: context.note } : {}),
          });
        },
      },
    ]);
    if (node === undefined) return;
    const { endpoints, attached } = node;
    context.result(
      [
        "This is a sandbox: its Proxmox node and VMs are simulated, the Kubernetes in them is real but for its containers.",
        `  API        ${endpoints.apiUrl}  (CA ${endpoints.caFile})`,
        `  SSH        ssh -F ${endpoints.sshConfigFile} -p ${endpoints.sshPort} ${endpoints.sshUser}@${endpoints.sshHost}`,
        `  Try        npm run deploy -- --sandbox --image FILE`,
        attached ? "It was running before and goes on running." : "Ctrl-C ends it; its state stays.",
      ].join("\n"),
      { apiUrl: endpoints.apiUrl, caFile: endpoints.caFile, sshPort: endpoints.sshPort, dir },
    );
    if (attached) return;
    await new Promise<void>((resolve) =>
      context.signal.addEventListener("abort", () => resolve(), { once: true }),
    );
    await node.stop();
  },
});

await main(import.meta.url, command);
