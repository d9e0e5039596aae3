import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { messageOf, TaskError } from "../../errors.ts";
import { parseImageName } from "../../image-name.ts";
import { formatBytes } from "../../progress.ts";
import type { Step } from "../../task/index.ts";
import { type ImageMetadata, imageMetadata, renderNotes } from "../image-metadata.ts";
import { inspectQcow2, type Qcow2 } from "../qcow2.ts";
import { cloudInitWords, createWords, importWords, Qm, type TemplatePlan } from "../qm.ts";
import { quoteWords } from "../quote.ts";
import type { NodeShell } from "../ssh.ts";
import { manualSteps } from "./by-hand.ts";
import { keepMetadata } from "./metadata-file.ts";
import { demandFirst, sameTemplate } from "./names.ts";
import { demandNode, demandRoom } from "./node.ts";
import { FOLDER, previewPlan, printable, type UploadRequest } from "./request.ts";
import { hashFile, send } from "./transfer.ts";
import { createFree, demandImported } from "./vm.ts";

export type { UploadRequest } from "./request.ts";

export interface UploadDeps {
  readonly shell: NodeShell;
  /** Told of the template once it is there. */
  readonly done?: (metadata: ImageMetadata) => void;
}

/** Turn a qcow2 image into a template: check, send, verify, import. Whatever fails, what was made is removed again. */
export function uploadSteps(request: UploadRequest, { shell, done }: UploadDeps): Step[] {
  const { file, name, storage } = request;
  parseImageName(name);
  const qm = new Qm(shell);
  // Nobody can guess it: in a folder that all may write to, and beside another upload of the same name.
  const remote = `${FOLDER}/homelab-${name}-${randomBytes(6).toString("hex")}.qcow2`;
  let image: Qcow2;
  let sha256 = "";
  let existing: ImageMetadata | undefined;
  let made: ImageMetadata | undefined;
  let plan: TemplatePlan = { ...previewPlan(request), imagePath: remote };

  const isThere = (): string | false => existing !== undefined && "the template is there already";
  /** Whatever goes wrong from here on, people can go on by hand. */
  const byHand = async (what: string, signal: AbortSignal, action: () => Promise<void>): Promise<void> => {
    try {
      await action();
    } catch (error) {
      // Whoever interrupts it knows why.
      signal.throwIfAborted();
      const told =
        error instanceof TaskError ? error : new TaskError({ what, why: messageOf(error), cause: error });
      const { why, todo, left } = told;
      throw new TaskError({
        what: told.what,
        ...(why === undefined ? {} : { why }),
        todo: [...todo, ...manualSteps(request, plan, shell.target)],
        left,
        cause: error,
      });
    }
  };

  return [
    {
      title: `Check ${printable(file)}`,
      async run({ note }) {
        image = await inspectQcow2(file);
        note(`${formatBytes(image.fileSize)}, a disk of ${formatBytes(image.virtualSize)} for the guest`);
      },
    },
    {
      title: `Check the node (${shell.target.user}@${shell.target.host})`,
      preview: () => ["pveversion", "id -u", "qm list", "pvesm status", `df ${FOLDER}`],
      async run({ signal }) {
        await demandNode(shell, signal);
        existing = await sameTemplate(qm, name, signal, () => hashFile(file, signal));
        if (existing !== undefined) return;
        await demandRoom(shell, storage, image, signal);
      },
    },
    {
      title: "Send the image",
      skip: isThere,
      preview: () => [`cat > ${remote}`],
      async run(control) {
        control.undo(
          `${remote} removed from the node`,
          async () => void (await shell.run(["rm", "-f", remote])),
        );
        await byHand("The image was not sent", control.signal, async () => {
          sha256 = await send(shell, file, remote, image.fileSize, control);
        });
      },
    },
    {
      title: "Compare checksums",
      skip: isThere,
      preview: () => [`sha256sum ${remote}`],
      async run({ signal }) {
        await byHand("The image was not compared", signal, async () => {
          const { stdout } = await shell.run(["sha256sum", remote], { signal });
          const arrived = stdout.split(" ")[0];
          if (arrived === sha256) return;
          throw new TaskError({
            what: "The image was damaged on its way",
            why: `sha256 here ${sha256}, on the node ${arrived}`,
            todo: ["Run it again; if it happens again, check the network and the node's disk and memory"],
          });
        });
      },
    },
    {
      title: "Create the VM",
      skip: isThere,
      preview: () => [quoteWords(createWords(plan))],
      async run(control) {
        await byHand("The VM was not created", control.signal, async () => {
          // Sending takes minutes: somebody may have taken the name in the meantime.
          await sameTemplate(qm, name, control.signal);
          plan = await createFree(qm, plan, control);
          await demandFirst(qm, plan, control.signal);
        });
      },
    },
    {
      title: "Import the disk",
      skip: isThere,
      preview: () => [quoteWords(importWords(plan))],
      async run({ signal, output }) {
        await byHand("The disk was not imported", signal, async () => {
          await qm.importImage(plan, { signal, onLine: output });
          await demandImported(qm, plan.vmid, image, signal);
        });
      },
    },
    {
      title: "Add the cloud-init drive and the notes",
      skip: isThere,
      preview: () => [quoteWords(cloudInitWords({ ...plan, notes: `Golden image ${name}, …` }))],
      async run({ signal }) {
        const builtAt = (await stat(file)).mtime;
        const { k3sVersion } = request;
        const qcow2 = { path: file, bytes: image.fileSize, sha256 };
        made = imageMetadata({ name, k3sVersion, builtAt, vmid: plan.vmid, qcow2 });
        plan = { ...plan, notes: renderNotes(made) };
        await byHand(
          "The VM was not configured",
          signal,
          async () => await qm.addCloudInit(plan, { signal }),
        );
      },
    },
    {
      title: "Turn it into a template",
      skip: isThere,
      preview: () => [quoteWords(["qm", "template", String(plan.vmid)])],
      async run({ signal }) {
        await byHand(
          "The VM was not turned into a template",
          signal,
          async () => await qm.template(plan.vmid, { signal }),
        );
      },
    },
    {
      title: "Remove the transferred file and write the metadata",
      preview: () => [`rm -f ${remote}`],
      async run({ signal, note }) {
        if (existing === undefined) await shell.run(["rm", "-f", remote], { signal });
        const metadata = existing ?? made;
        if (metadata === undefined) return;
        const kept = await keepMetadata(`${file}.json`, metadata);
        note(`Template ${name} has number ${metadata.template_id}; its metadata are in its notes${kept}`);
        done?.(metadata);
      },
    },
  ];
}
