import { messageOf, TaskError } from "../errors.ts";
import { pollUntil } from "../poll.ts";
import { CommandError } from "../process.ts";
import { readLogs } from "./logs.ts";
import type { Vm } from "./vm.ts";

/** Where k3s leaves an administrator's kubeconfig. @see https://docs.k3s.io/cluster-access */
export const K3S_YAML = "/etc/rancher/k3s/k3s.yaml";
const START_MS = 10 * 60_000;

/**
 * Wait until k3s runs, and read the kubeconfig that it leaves on its server.
 * @param output told what k3s is doing
 * @throws {TaskError} with the end of its log, when it fails or takes more than ten minutes
 */
export async function k3sKubeconfig(
  vm: Vm,
  output: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const started = performance.now();
  await pollUntil(
    async () => {
      const state = await serviceState(vm, signal);
      if (state === "active") return { value: true };
      output(`k3s is ${state} (${Math.round((performance.now() - started) / 1000)} s)`);
      const pending = `systemctl is-active k3s says ${state}`;
      if (state === "failed") throw notUp(vm, `${pending}\n${await lastWords(vm, signal)}`);
      return { pending };
    },
    { timeoutMs: START_MS, everyMs: 500, signal },
    (why) => notUp(vm, why),
  );
  try {
    return await vm.run(["sudo", "-n", "cat", K3S_YAML], signal);
  } catch (error) {
    throw error instanceof CommandError ? notUp(vm, error.message) : error;
  }
}

/** "active", "activating", "failed" …: systemctl ends with 3 for all but the first. */
async function serviceState(vm: Vm, signal: AbortSignal): Promise<string> {
  try {
    return (await vm.run(["systemctl", "is-active", "k3s"], signal)).trim();
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    return error.stdout.trim() || messageOf(error);
  }
}

async function lastWords(vm: Vm, signal: AbortSignal): Promise<string> {
  const words = ["sudo", "-n", "journalctl", "-u", "k3s", "-n", "20", "--no-pager"];
  return await vm.run(words, signal).then((text) => text.trim(), messageOf);
}

function notUp(vm: Vm, why: string): TaskError {
  const [, ...logs] = readLogs(vm);
  return new TaskError({
    what: `k3s did not come up on ${vm.address}`,
    why,
    todo: [
      "Look at its log:",
      `$ ${vm.login} sudo journalctl -u k3s -n 100`,
      "Its configuration comes from cloud-init, which has logs of its own:",
      ...logs,
    ],
    left: ["The VM is left as it is; run the task again to go on waiting"],
  });
}
