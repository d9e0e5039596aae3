import { existsSync } from "node:fs";
import { TaskError } from "../errors.ts";
import type { Architecture } from "../image-name.ts";
import { run } from "../process.ts";
import { which } from "../which.ts";

/** How QEMU is to be run for a build. */
export interface QemuHost {
  /** Path of qemu-system-…. */
  readonly binary: string;
  /** kvm and hvf run at full speed; tcg emulates and takes many times as long. */
  readonly accelerator: "kvm" | "hvf" | "tcg";
  readonly machine: string;
  readonly cpu: string;
  /** UEFI firmware and the template of its variables; undefined for a BIOS build. */
  readonly efi: { readonly code: string; readonly vars: string } | undefined;
}

/** An empty machine starts and ends in well under a second. */
const TRIAL_MS = 15_000;

const PROGRAM = { amd64: "qemu-system-x86_64", arm64: "qemu-system-aarch64" } as const;

/** Where distributions keep UEFI firmware for QEMU: Debian, Fedora, Arch, openSUSE, Homebrew. */
const FIRMWARE: Readonly<Record<Architecture, readonly (readonly [code: string, vars: string])[]>> = {
  amd64: [
    ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"],
    ["/usr/share/edk2/ovmf/OVMF_CODE_4M.qcow2", "/usr/share/edk2/ovmf/OVMF_VARS_4M.qcow2"],
    ["/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"],
    ["/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"],
    ["/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"],
    ["/opt/homebrew/share/qemu/edk2-x86_64-code.fd", "/opt/homebrew/share/qemu/edk2-i386-vars.fd"],
    ["/usr/local/share/qemu/edk2-x86_64-code.fd", "/usr/local/share/qemu/edk2-i386-vars.fd"],
  ],
  arm64: [
    ["/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"],
    ["/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"],
    ["/opt/homebrew/share/qemu/edk2-aarch64-code.fd", "/opt/homebrew/share/qemu/edk2-arm-vars.fd"],
  ],
};

const INSTALL = {
  amd64:
    "$ sudo apt-get install qemu-system-x86 qemu-utils ovmf xorriso   # or your system's packages of that name",
  arm64: "$ sudo apt-get install qemu-system-arm qemu-utils qemu-efi-aarch64 xorriso",
} as const;

/**
 * Find QEMU and its firmware on this machine.
 * @throws {TaskError} with what to install
 */
export async function findQemu(arch: Architecture, firmware: "uefi" | "bios"): Promise<QemuHost> {
  if (arch === "arm64" && firmware === "bios") {
    throw new TaskError({
      what: "There is no BIOS for arm64",
      why: "Machines of that architecture start with UEFI alone",
      todo: ["Leave FIRMWARE out, or set it to uefi"],
    });
  }
  const binary = await which(PROGRAM[arch]);
  const efi = FIRMWARE[arch].find(([code, vars]) => existsSync(code) && existsSync(vars));
  if (binary === undefined || (firmware === "uefi" && efi === undefined)) {
    throw new TaskError({
      what:
        binary === undefined
          ? `${PROGRAM[arch]} is not installed`
          : `UEFI firmware for ${arch} is not installed`,
      why: "A local build runs the installer in QEMU",
      todo: [INSTALL[arch], "Or build on the Proxmox node: --builder proxmox"],
    });
  }
  const machine = arch === "amd64" ? "q35" : "virt";
  const accelerator = await acceleratorFor(binary, machine, arch);
  return {
    binary,
    accelerator,
    machine,
    // EL 9 needs x86-64-v2, which QEMU's own default lacks.
    cpu: accelerator === "tcg" ? "max" : "host",
    efi: firmware === "uefi" && efi !== undefined ? { code: efi[0], vars: efi[1] } : undefined,
  };
}

/** Hardware acceleration where it really works: a device that is there may still fail, as in some nested VMs. */
async function acceleratorFor(
  binary: string,
  machine: string,
  arch: Architecture,
): Promise<QemuHost["accelerator"]> {
  const native = { x64: "amd64", arm64: "arm64" }[process.arch as string] === arch;
  const accelerator = process.platform === "darwin" ? "hvf" : "kvm";
  if (!native || (accelerator === "kvm" && !existsSync("/dev/kvm"))) return "tcg";
  const args = [
    ...["-machine", `${machine},accel=${accelerator}`, "-cpu", "host", "-m", "64"],
    ...["-nodefaults", "-display", "none", "-serial", "none", "-monitor", "stdio"],
  ];
  const works = await run(binary, args, { input: "quit\n", timeoutMs: TRIAL_MS }).then(
    () => true,
    () => false,
  );
  return works ? accelerator : "tcg";
}
