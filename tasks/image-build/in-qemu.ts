import { existsSync } from "node:fs";
import { rm, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { TaskError } from "../../lib/errors.ts";
import { findQemu, type QemuHost, readManifest } from "../../lib/packer/index.ts";
import type { Step } from "../../lib/task/index.ts";
import { known } from "../kubeconfig.ts";
import { type Build, IMAGE_DIRECTORY, inputsOf, logsOf, packerSteps, recordOf, unless } from "./packer.ts";

/** Build in a local QEMU: ends in a qcow2. */
export function qemuSteps(build: Build, done: (file: string) => void): Step[] {
  const { root, name, settings } = build;
  const output = join(root, IMAGE_DIRECTORY, "qemu", "output", name);
  const file = join(output, `${name}.qcow2`);
  const record = recordOf(build);
  let host: QemuHost | undefined;
  let isThere = false;
  let isAgreed = false;
  const isBuilt = (): string | false => isThere && "an earlier run has built it";
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
      async run({ confirm, note, signal }) {
        await record.untilPackerEnds(`the image ${name}`, { signal, say: note });
        if (!existsSync(output)) return;
        isThere = await isFinished(build, file);
        if (isThere)
          return note(
            `${relative(root, file)} is what an interrupted run has built from the same files; it is used`,
          );
        if (!(await confirm(`${relative(root, output)} is there from an earlier build. Remove it?`))) {
          throw new TaskError({
            what: `${output} is there already`,
            todo: [`Use it: npm run upload-image -- ${file} ${name}`, "Or remove it"],
            left: ["Nothing was built"],
          });
        }
        // Not before all is at hand that the new one needs.
        isAgreed = true;
      },
    },
    ...unless(
      isBuilt,
      packerSteps(
        build,
        {
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
        },
        [
          {
            title: "Remove what an earlier build has left",
            skip: () => !isAgreed && "nothing was left",
            async run({ note }) {
              await rm(output, { recursive: true });
              note(`Removed ${relative(root, output)}`);
            },
          },
        ],
      ),
    ),
    {
      title: "Check the qcow2",
      async run({ note }) {
        note(relative(root, file));
        done(file);
      },
    },
  ];
}

/** Whether a run that did not come to its end has left the whole image, made from what it would be made from now. */
async function isFinished(build: Build, file: string): Promise<boolean> {
  const begun = recordOf(build).read();
  const manifest = await readManifest(logsOf(build));
  if (begun === undefined || manifest === undefined || begun.inputs !== (await inputsOf(build))) return false;
  const bytes = await stat(file).then(
    ({ size }) => size,
    () => undefined,
  );
  // A manifest's time is in seconds.
  const isOfRun = manifest.builtAt.getTime() >= Date.parse(begun.run.since) - 1000;
  return isOfRun && manifest.files.some(({ name, size }) => name === file && size === bytes);
}
