import type { Vm } from "./vm.ts";

/** Where cloud-init writes what the scripts and modules print, and what it does itself. */
const OUTPUT_LOG = "/var/log/cloud-init-output.log";
const LOG = "/var/log/cloud-init.log";
/** Lines of a log that are shown in a message. */
const LAST_LINES = 15;

/** Where cloud-init's logs are, in one line. */
export const CLOUD_INIT_LOGS = `${OUTPUT_LOG} and ${LOG} on the VM`;

/** How a person reads cloud-init's logs, by SSH to the VM. */
export function readLogs({ login }: Vm): string[] {
  return [
    `Its logs are ${CLOUD_INIT_LOGS}:`,
    `$ ${login} cloud-init status --long`,
    `$ ${login} sudo cat ${OUTPUT_LOG}`,
    `$ ${login} sudo cat ${LOG}`,
  ];
}

/** The same where the VM lets nobody in: the guest agent reads them, as long as it runs. */
export function readLogsByAgent({ shell, vmid }: Vm): string[] {
  const agent = ["qm", "guest", "exec", String(vmid), "--"];
  return [
    `Perhaps cloud-init has not set the user and its key. Its logs are ${CLOUD_INIT_LOGS}; the guest agent reads them:`,
    `$ ${shell.shown([...agent, "cloud-init", "status", "--long"])}`,
    `$ ${shell.shown([...agent, "cat", OUTPUT_LOG])}`,
  ];
}

/** The end of what cloud-init's scripts have printed; empty when it cannot be read. */
export async function lastOutput(vm: Vm, signal: AbortSignal): Promise<string> {
  try {
    const text = await vm.run(["sudo", "-n", "cat", OUTPUT_LOG], signal);
    return text.trim().split("\n").slice(-LAST_LINES).join("\n");
  } catch {
    signal.throwIfAborted();
    return "";
  }
}
