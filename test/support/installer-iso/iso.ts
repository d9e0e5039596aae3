import { copyFileSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../../lib/process.ts";
import { debianKernel } from "./debian.ts";
import { writeInitramfs } from "./initramfs.ts";
import { makeLoaders } from "./loader.ts";
import { MODULES } from "./modules.ts";

const LABEL = "AlmaLinux-9-5-x86_64-dvd";

/**
 * The menu of AlmaLinux 9's ISO: the second entry is the chosen one and first checks the medium, the first is the one to take,
 * and its linux line is longer than the editor is wide once arguments are added. GRUB itself hands a ks.cfg on OEMDRV to the
 * initramfs, because Debian's small kernel has no driver for a CD drive on AHCI.
 */
const MENU = `set default="1"
set gfxpayload=keep
set timeout=60
insmod all_video
search --no-floppy --set=root -l '${LABEL}'
if search --no-floppy --set=oemdrv -l OEMDRV; then
  set kickstart="/boot/oemdrv/head ($oemdrv)/ks.cfg /boot/oemdrv/tail"
  export kickstart
fi
menuentry 'Install AlmaLinux 9.5' --class fedora --class gnu-linux --class gnu --class os {
	linux /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=${LABEL} quiet
	initrd /images/pxeboot/initrd.img $kickstart
}
menuentry 'Test this media & install AlmaLinux 9.5' --class fedora --class gnu-linux --class gnu --class os {
	linux /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=${LABEL} rd.live.check quiet
	initrd /images/pxeboot/initrd.img $kickstart
}
submenu 'Troubleshooting -->' {
	menuentry 'Install AlmaLinux 9.5 in text mode' --class fedora --class gnu-linux --class gnu --class os {
		linux /images/pxeboot/vmlinuz inst.stage2=hd:LABEL=${LABEL} inst.text quiet
		initrd /images/pxeboot/initrd.img $kickstart
	}
}
`;

const KICKSTART_ROOM = 64 * 1024;

/**
 * What goes around a ks.cfg so that the kernel finds it in an archive: a header of cpio's "newc" format for a file of a fixed
 * size, and zeros up to it. GRUB's own `newc:` names files in a way that newer kernels refuse.
 */
function archiveAround(name: string): { readonly head: Buffer; readonly tail: Buffer } {
  const mode = 0o100644;
  const fields = [1, mode, 0, 0, 1, 0, KICKSTART_ROOM, 0, 0, 0, 0, name.length + 1, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}${name}\0`;
  return {
    head: Buffer.from(header.padEnd(Math.ceil(header.length / 4) * 4, "\0")),
    tail: Buffer.alloc(KICKSTART_ROOM),
  };
}

/** Make the ISO that plays AlmaLinux's installer. */
export async function makeInstallerIso(file: string, work: string): Promise<{ readonly bytes: number }> {
  const tree = join(work, "tree");
  mkdirSync(join(tree, "images", "pxeboot"), { recursive: true });
  mkdirSync(join(tree, "boot", "grub"), { recursive: true });
  mkdirSync(join(tree, "boot", "oemdrv"));
  for (const [name, content] of Object.entries(archiveAround("ks.cfg")))
    writeFileSync(join(tree, "boot", "oemdrv", name), content);
  const kernel = await debianKernel(MODULES);
  copyFileSync(kernel.image, join(tree, "images/pxeboot/vmlinuz"));
  const loaders = await makeLoaders(work);
  await writeInitramfs(join(tree, "images/pxeboot/initrd.img"), work, kernel, loaders);
  writeFileSync(join(tree, "boot/grub/grub.cfg"), MENU);
  await run("grub-mkrescue", [
    ...["--output", file, "--compress=no", "--fonts=", "--locales=", "--themes="],
    ...[
      "--install-modules=all_video linux normal search test part_gpt part_msdos fat iso9660 configfile terminal serial echo",
    ],
    ...[tree, "--", "-volid", LABEL],
  ]);
  return { bytes: statSync(file).size };
}
