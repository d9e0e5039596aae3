import { rm } from "node:fs/promises";
import { join, relative } from "node:path";
import { TaskError } from "../../lib/errors.ts";
import { findQemu, type QemuHost } from "../../lib/packer/index.ts";
import type { Step } from "../../lib/task/index.ts";
import { known } from "../kubeconfig.ts";
import { type Build, IMAGE_DIRECTORY, packerSteps } from "./packer.ts";

/** Build in a local QEMU: ends in a qcow2. */
export function qemuSteps(build: Build, done: (file: string) => void): Step[] {
  const { root, name, settings } = build;
  const output = join(root, IMAGE_DIRECTORY, "qemu", "output", name);
  const file = join(output, `${name}.qcow2`);
  let host: QemuHost | undefined;
  return [
    {
      title: "Find QEMU and its firmware",
      async run({ note }) {
        host = await findQemu(settings.ARCH, settings.FIRMWARE);
        if (host.accelerator === "tcg") {
          note(
            "There is no hardware acceleration here (KVM): QEMU emulates the CPU, and the build takes hours",
          );
        }
      },
    },
    {
      title: "Make room for the image",
      async run({ confirm }) {
        const { existsSync } = await import("node:fs");
        if (!existsSync(output)) return;
        if (!(await confirm(`${relative(root, output)} is there from an earlier build. Remove it?`))) {
          throw new TaskError({
            what: `${output} is there already`,
            todo: [`Use it: npm run upload-image -- ${file} ${name}`, "Or remove it"],
            left: ["Nothing was built"],
          });
        }
        await rm(output, { recursive: true });
      },
    },
    ...packerSteps(build, {
      directory: join(IMAGE_DIRECTORY, "qemu"),
      plugin: "qemu",
      partial: `in ${relative(root, output)}; the next build offers to remove it`,
      lastPhase: "Write the qcow2",
      variables: () => {
        const { binary, accelerator, machine, cpu, efi } = known(host);
        return {
          output_directory: output,
          // The guest reaches it through QEMU's own network; nobody else is to read the build password.
          http_bind_address: "127.0.0.1",
          accelerator,
          qemu_binary: binary,
          machine_type: machine,
          cpu_model: cpu,
          ...(efi === undefined ? {} : { efi_firmware_code: efi.code, efi_firmware_vars: efi.vars }),
        };
      },
    }),
    {
      title: "Check the qcow2",
      async run({ note }) {
        note(relative(root, file));
        done(file);
      },
    },
  ];
}
