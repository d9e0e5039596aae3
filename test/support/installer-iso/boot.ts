import { spawn } from "node:child_process";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { FILES } from "./debian.ts";

export type Firmware = "uefi" | "bios";

interface Machine {
  readonly firmware: Firmware;
  /** Further devices. */
  readonly devices: readonly string[];
  /** A folder for the firmware's variables. */
  readonly work: string;
  readonly timeoutMs: number;
}

/**
 * Start an emulated machine and end it once its serial console has said something.
 * @returns what it said up to then
 * @throws {Error} with the end of what it said, when it does not say it in time
 */
export async function untilConsoleSays(expected: RegExp, machine: Machine): Promise<string> {
  const child = spawn(
    "qemu-system-x86_64",
    [
      ...["-machine", "q35,accel=tcg", "-cpu", "max", "-m", "512", "-smp", "1", "-snapshot"],
      ...["-display", "none", "-monitor", "none", "-serial", "stdio", "-nic", "none"],
      ...firmwareArguments(machine),
      ...machine.devices,
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let text = "";
  try {
    return await new Promise((resolve, reject) => {
      const tooLate = setTimeout(
        () => reject(new Error(`the console never said ${expected}: ${JSON.stringify(text.slice(-2000))}`)),
        machine.timeoutMs,
      );
      const listen = (data: string): void => {
        text += data;
        if (!expected.test(text)) return;
        clearTimeout(tooLate);
        resolve(text);
      };
      child.stdout.setEncoding("utf8").on("data", listen);
      child.stderr.setEncoding("utf8").on("data", listen);
      child.once("error", reject);
      child.once("exit", () => {
        clearTimeout(tooLate);
        reject(new Error(`QEMU ended: ${JSON.stringify(text.slice(-2000))}`));
      });
    });
  } finally {
    child.kill("SIGKILL");
  }
}

function firmwareArguments({ firmware, work }: Machine): string[] {
  if (firmware === "bios") return [];
  // Variables of its own: there is no boot entry in them, as with a clone.
  const variables = join(work, "variables.fd");
  copyFileSync(FILES.uefiVars, variables);
  return [
    ...["-drive", `if=pflash,unit=0,format=raw,readonly=on,file=${FILES.uefiCode}`],
    ...["-drive", `if=pflash,unit=1,format=raw,file=${variables}`],
  ];
}

/** A disk as Proxmox attaches it. */
export function diskDevices(qcow2: string): string[] {
  return [
    ...["-device", "virtio-scsi-pci,id=scsi0"],
    ...["-device", "scsi-hd,bus=scsi0.0,drive=disk"],
    ...["-drive", `if=none,id=disk,format=qcow2,file=${qcow2}`],
  ];
}

export function cdDevices(iso: string): string[] {
  return ["-drive", `file=${iso},media=cdrom,format=raw,readonly=on`];
}
