import { TaskError } from "../errors.ts";
import { pollUntil } from "../poll.ts";
import { CommandError } from "../process.ts";
import { learnHostKey } from "../proxmox/index.ts";
import { CLOUD_INIT_LOGS, lastOutput, readLogs, readLogsByAgent } from "./logs.ts";
import type { Vm } from "./vm.ts";

const BOOT_MS = 10 * 60_000;
const SSH_MS = 60_000;
/** What cloud-init ends with when it is done, with complaints that it could recover from. */
const DEGRADED = 2;

/**
 * Wait until the VM's guest agent answers, and make the VM's SSH host key known through it.
 * @throws {TaskError} when it does not boot within ten minutes
 */
export async function waitForBoot(vm: Vm, signal: AbortSignal): Promise<void> {
  const { shell, vmid, name, address, knownHostsFile } = vm;
  await pollUntil(
    async () => {
      try {
        await learnHostKey(shell, { vmid, address }, knownHostsFile, signal);
        return { value: true };
      } catch (error) {
        const why = error instanceof TaskError ? (error.why ?? "") : "";
        if (!/guest agent|no key/i.test(why)) throw error;
        return { pending: why };
      }
    },
    { timeoutMs: BOOT_MS, signal },
    (why) =>
      new TaskError({
        what: `VM ${vmid} (${name}) did not boot`,
        why,
        todo: [
          "Look at its console in the web interface, or on the node:",
          `$ qm status ${vmid}; qm terminal ${vmid}`,
          "qemu-guest-agent has to run in the image",
          `Where it has booted, cloud-init's logs say more: ${CLOUD_INIT_LOGS}`,
        ],
        left: ["The VM is left as it is"],
      }),
  );
}

/**
 * Wait until cloud-init is done.
 * @returns a warning, when it is done but complains
 * @throws {TaskError} with what cloud-init says of itself, and where its logs are
 */
export async function waitForCloudInit(vm: Vm, signal: AbortSignal): Promise<string | undefined> {
  const { user, address } = vm;
  try {
    await pollUntil(
      async () => {
        try {
          return { value: await vm.run(["cloud-init", "status", "--wait"], signal) };
        } catch (error) {
          // sshd may come a moment after the agent; by then cloud-init has made the user.
          const why = error instanceof TaskError ? (error.why ?? "") : "";
          if (!/refused|closed|reset/i.test(why) || /none of your keys/.test(why)) throw error;
          return { pending: why };
        }
      },
      { timeoutMs: SSH_MS, signal },
      (why) => new TaskError({ what: `SSH to ${user}@${address} does not answer`, why }),
    );
    return undefined;
  } catch (error) {
    // Nobody is let in: cloud-init's own logs are then read another way.
    if (error instanceof TaskError) throw error.withTodo([...error.todo, ...readLogsByAgent(vm)]);
    if (!(error instanceof CommandError)) throw error;
    if (error.exitCode === DEGRADED) return `cloud-init is done, with warnings: see ${CLOUD_INIT_LOGS}`;
    const long = await statusLong(vm, signal);
    const output = await lastOutput(vm, signal);
    throw new TaskError({
      what: `cloud-init failed on ${address}`,
      why: [long || error.stdout.trim() || error.message, output].filter((text) => text !== "").join("\n"),
      todo: [
        ...readLogs(vm),
        "When the snippet or the settings are mended, make the VM anew: cloud-init runs once in its life",
        `$ npm run tf-apply -- --replace ${vm.name}`,
      ],
      left: ["The VM is left as it is"],
      cause: error,
    });
  }
}

/** What cloud-init says of itself; it ends with 1 when it has failed, which is known here. */
async function statusLong(vm: Vm, signal: AbortSignal): Promise<string> {
  try {
    return (await vm.run(["cloud-init", "status", "--long"], signal)).trim();
  } catch (error) {
    signal.throwIfAborted();
    return error instanceof CommandError ? error.stdout.trim() : "";
  }
}
