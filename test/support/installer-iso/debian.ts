import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { childEnv, run } from "../../../lib/process.ts";
import { ToolCache } from "../../../lib/toolchain/index.ts";

/** The programs the ISO is made with and of, and Debian's packages of them. */
const PROGRAMS: Readonly<Record<string, string>> = {
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-img": "qemu-utils",
  "grub-mkrescue": "grub-common",
  xorriso: "xorriso",
  mcopy: "mtools",
  cpio: "cpio",
  busybox: "busybox-static",
  sshd: "openssh-server",
  parted: "parted",
  mke2fs: "e2fsprogs",
  curl: "curl",
  "apt-get": "apt",
};

/** Firmware and GRUB's modules: files that no program stands for. */
export const FILES = {
  uefiCode: "/usr/share/OVMF/OVMF_CODE_4M.fd",
  uefiVars: "/usr/share/OVMF/OVMF_VARS_4M.fd",
  grubEfi: "/usr/lib/grub/x86_64-efi",
  grubBios: "/usr/lib/grub/i386-pc",
} as const;
const PACKAGE_OF_FILE: Readonly<Record<keyof typeof FILES, string>> = {
  uefiCode: "ovmf",
  uefiVars: "ovmf",
  grubEfi: "grub-efi-amd64-bin",
  grubBios: "grub-pc-bin",
};

const FOLDERS = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Where a program of the system lies; those in sbin count for everybody. */
export function systemProgram(name: string): string | undefined {
  return FOLDERS.map((folder) => join(folder, name)).find((path) => existsSync(path));
}

/** Why no build can be tried on this machine, or false. */
export function missingForBuild(): string | false {
  if (process.platform !== "linux" || process.arch !== "x64") return "it needs Linux on x86-64";
  const packages = [
    ...Object.entries(PROGRAMS).flatMap(([name, of]) => (systemProgram(name) === undefined ? [of] : [])),
    ...Object.entries(FILES).flatMap(([name, path]) =>
      existsSync(path) ? [] : [PACKAGE_OF_FILE[name as keyof typeof FILES]],
    ),
  ];
  return packages.length > 0 && `these Debian packages are missing: ${[...new Set(packages)].join(" ")}`;
}

/** What the guest's kernel needs of its modules; their own needs come with them. */
export interface Kernel {
  readonly image: string;
  /** The folder with every module that was unpacked, at the paths of the package. */
  readonly modules: string;
}

const META_PACKAGE = "linux-image-cloud-amd64";

/**
 * Debian's small kernel for virtual machines, downloaded once a machine and version and never installed.
 * @param wanted paths below the modules' kernel/ folder, for tar's wildcards
 */
export async function debianKernel(wanted: readonly string[]): Promise<Kernel> {
  const { stdout } = await run("apt-cache", ["depends", META_PACKAGE], { env: childEnv({ LC_ALL: "C" }) });
  const name = /Depends: (linux-image-\S+)/.exec(stdout)?.[1];
  if (name === undefined) throw new Error(`apt-cache knows no ${META_PACKAGE}: run apt-get update`);
  const all = join(new ToolCache().dir, "debian");
  const folder = join(all, `${name}-${wanted.length}`);
  if (!existsSync(folder)) {
    await mkdir(all, { recursive: true });
    const work = await mkdtemp(join(all, "work-"));
    try {
      await run("apt-get", ["download", "-qq", name], { cwd: work });
      const file = (await readdir(work)).find((each) => each.endsWith(".deb"));
      if (file === undefined) throw new Error(`apt-get brought no ${name}`);
      await mkdir(join(work, "kernel"));
      await run(
        "bash",
        [
          "-c",
          'set -o pipefail; package=$1; shift; dpkg-deb --fsys-tarfile "$package" | tar -x -C kernel --wildcards "$@"',
          "unpack",
          file,
          "./boot/vmlinuz-*",
          ...wanted.map((each) => `*/kernel/${each}`),
        ],
        { cwd: work },
      );
      await rename(join(work, "kernel"), folder).catch((error: unknown) => {
        // Another process was faster.
        if (!existsSync(folder)) throw error;
      });
    } finally {
      await rm(work, { recursive: true, force: true });
    }
  }
  const [image = ""] = await readdir(join(folder, "boot"));
  return { image: join(folder, "boot", image), modules: join(folder, "lib", "modules") };
}
