import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../../lib/process.ts";
import { FILES } from "./debian.ts";

/** What the loader of a finished disk says on the serial console, and the firmware it was started by. */
export const LOADER_LINE = /homelab loader: menu reached from (efi|pc)/;

const SECTOR = 512;
/** Where the bios boot partition begins: one MiB, as every partitioning tool does it. */
const BIOS_BOOT_SECTOR = 2048;
const MODULES = [
  ..."part_gpt fat ext2 search search_fs_file normal configfile serial terminal echo test sleep".split(" "),
];

/** Both loaders look for the one menu on /boot. */
const EMBEDDED = `search --no-floppy --file --set=root /grub2/grub.cfg
set prefix=($root)/grub2
configfile ($root)/grub2/grub.cfg
`;

const MENU = `serial --unit=0 --speed=115200
terminal_output serial console
echo "homelab loader: menu reached from \${grub_platform}"
menuentry "AlmaLinux, played" {
  echo "There is no kernel behind this menu."
  sleep 600
}
`;

/** Files of the loaders, for the installer to put onto the disk. */
export interface LoaderFiles extends Record<string, string> {
  readonly "boot.img": string;
  readonly "core.img": string;
  readonly "esp.img.gz": string;
  readonly "grub.cfg": string;
}

/** Make GRUB for a disk, for UEFI in an ESP and for a BIOS in front of the partitions. */
export async function makeLoaders(work: string): Promise<LoaderFiles> {
  const embedded = join(work, "embedded.cfg");
  writeFileSync(embedded, EMBEDDED);
  writeFileSync(join(work, "grub.cfg"), MENU);

  const efi = join(work, "BOOTX64.EFI");
  await image("x86_64-efi", efi, embedded, []);
  const esp = join(work, "esp.img");
  await run("mformat", ["-C", "-i", esp, "-T", String((16 * 1024 ** 2) / SECTOR), "-v", "ESP", "::"]);
  await run("mmd", ["-i", esp, "::/EFI", "::/EFI/BOOT"]);
  await run("mcopy", ["-i", esp, efi, "::/EFI/BOOT/BOOTX64.EFI"]);
  await run("gzip", ["-1", "-k", "-f", esp]);

  const core = join(work, "core.img");
  await image("i386-pc", core, embedded, ["biosdisk"]);
  patchCore(core);
  const boot = readFileSync(join(FILES.grubBios, "boot.img"));
  boot.writeBigUInt64LE(BigInt(BIOS_BOOT_SECTOR), 0x5c);
  writeFileSync(join(work, "boot.img"), boot);
  return {
    "boot.img": join(work, "boot.img"),
    "core.img": core,
    "esp.img.gz": `${esp}.gz`,
    "grub.cfg": join(work, "grub.cfg"),
  };
}

async function image(
  format: string,
  output: string,
  embedded: string,
  more: readonly string[],
): Promise<void> {
  await run("grub-mkimage", [
    ...["--format", format, "--output", output, "--config", embedded, "--prefix", "/grub2"],
    ...MODULES,
    ...more,
  ]);
}

/** What grub-bios-setup would write: where the rest of the core lies, behind its own first sector. */
function patchCore(file: string): void {
  const core = readFileSync(file);
  const sectors = Math.ceil(core.length / SECTOR);
  core.writeBigUInt64LE(BigInt(BIOS_BOOT_SECTOR + 1), SECTOR - 12);
  core.writeUInt16LE(sectors - 1, SECTOR - 4);
  writeFileSync(file, core);
}
