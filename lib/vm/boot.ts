import { TaskError } from "../errors.ts";
import { pollUntil } from "../poll.ts";
import { CommandError } from "../process.ts";
import { learnHostKey } from "../proxmox/index.ts";
import type { Vm } from "./vm.ts";

const BOOT_MS = 10 * 60_000;
const SSH_MS = 60_000;
/** What cloud-init ends with when it is done, with complaints that it could recover from. */
const DEGRADED = 2;
const LOGS = "/var/log/cloud-init-output.log and /var/log/cloud-init.log on the VM";

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
          // sshd may come a moment after the agent.
          const why = error instanceof TaskError ? (error.why ?? "") : "";
          if (!/refused|closed|reset/i.test(why)) throw error;
          return { pending: why };
        }
      },
      { timeoutMs: SSH_MS, signal },
      (why) => new TaskError({ what: `SSH to ${user}@${address} does not answer`, why }),
    );
    return undefined;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    if (error.exitCode === DEGRADED) return `cloud-init is done, with warnings: see ${LOGS}`;
    throw new TaskError({
      what: `cloud-init failed on ${address}`,
      why: `${error.stdout.trim()}\n${error.message}`.trim(),
      todo: [`Its logs are ${LOGS}`, `$ ${vm.login} cloud-init status --long`],
      left: ["The VM is left as it is"],
      cause: error,
    });
  }
}
