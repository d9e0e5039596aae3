import { randomBytes } from "node:crypto";
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { messageOf, TaskError } from "../lib/errors.ts";
import { parseImageName } from "../lib/image-name.ts";
import { formatBytes } from "../lib/progress.ts";
import {
  cloudInitWords,
  createFree,
  createWords,
  demandArrived,
  demandFirst,
  demandImported,
  demandNode,
  demandRoom,
  hashFile,
  type ImageMetadata,
  imageMetadata,
  importWords,
  inspectQcow2,
  keepMetadata,
  manualSteps,
  type NodeShell,
  previewPlan,
  printable,
  type Qcow2,
  Qm,
  quoteWords,
  renderNotes,
  sameTemplate,
  send,
  shellFrom,
  type TemplatePlan,
  UPLOAD_FOLDER,
} from "../lib/proxmox/index.ts";
import { defineCommand, main, type Step, type TaskContext } from "../lib/task/index.ts";

/** What is to become a template. */
export interface UploadRequest {
  /** The qcow2 image on this machine. */
  readonly file: string;
  /** The template's name: alma9-k3-node-amd64-v1.28.5-v1. */
  readonly name: string;
  /** With its revision; counts when it is the version in the name, which lacks the revision. */
  readonly k3sVersion?: string | undefined;
  readonly storage: string;
  readonly bridge: string;
}

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
  const remote = `${UPLOAD_FOLDER}/homelab-${name}-${randomBytes(6).toString("hex")}.qcow2`;
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
      preview: () => ["pveversion", "id -u", "qm list", "pvesm status", `df ${UPLOAD_FOLDER}`],
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
        await byHand(
          "The image was not compared",
          signal,
          async () => await demandArrived(shell, remote, sha256, signal),
        );
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

/** Run the upload as the end of a command: its result is the template's name. */
export async function upload(
  context: Pick<TaskContext, "steps" | "result">,
  shell: NodeShell,
  request: UploadRequest,
): Promise<void> {
  let metadata: ImageMetadata | undefined;
  const done = (made: ImageMetadata): void => {
    metadata = made;
  };
  try {
    await context.steps(uploadSteps(request, { shell, done }));
  } finally {
    await shell.close();
  }
  context.result(request.name, { template: request.name, metadata });
}

const command = defineCommand({
  name: "upload-image",
  summary: "Make a Proxmox template of a qcow2 image, over SSH; prints the template's name",
  positionals: [
    { name: "FILE", about: "the image, qcow2" },
    { name: "VERSION", about: "the template's name, for example alma9-k3-node-amd64-v1.28.5-v1" },
  ],
  uses: [
    "PM_SSH_HOST",
    "PM_API_URL",
    "PM_SSH_USER",
    "PM_SSH_PORT",
    "PM_SSH_CONFIG",
    "PM_STORAGE",
    "PM_BRIDGE",
    "K3S_VERSION",
  ],
  async run(context) {
    const { settings } = context;
    const [file = "", name = ""] = context.args;
    const shell = shellFrom(settings);
    shell.demandHost();
    await upload(context, shell, {
      file: resolve(file),
      name,
      storage: settings.PM_STORAGE,
      bridge: settings.PM_BRIDGE,
      k3sVersion: settings.K3S_VERSION,
    });
  },
});

await main(import.meta.url, command);
