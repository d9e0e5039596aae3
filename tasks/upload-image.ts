import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { messageOf, TaskError, UsageError } from "../lib/errors.ts";
import { parseImageName } from "../lib/image-name.ts";
import { formatBytes } from "../lib/progress.ts";
import {
  arrivedBytes,
  bytesAfter,
  type Content,
  cloudInitWords,
  createFree,
  createWords,
  demandArrived,
  demandFirst,
  demandImported,
  demandNode,
  demandRoom,
  type ImageMetadata,
  imageMetadata,
  importWords,
  inspectQcow2,
  keepMetadata,
  lockUpload,
  manualSteps,
  markUpload,
  type NodeLock,
  type NodeShell,
  previewPlan,
  printable,
  type Qcow2,
  Qm,
  quoteWords,
  readContent,
  removeUpload,
  renderNotes,
  sameTemplate,
  send,
  shellFrom,
  type TemplatePlan,
  UPLOAD_FOLDER,
  uploadPath,
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
  /** Bytes a second that the transfer takes at most. */
  readonly limit?: number | undefined;
}

export interface UploadDeps {
  readonly shell: NodeShell;
  /** Told of the template once it is there. */
  readonly done?: (metadata: ImageMetadata) => void;
}

/**
 * Turn a qcow2 image into a template: check, send, verify, import. Whatever fails, the VM is removed again; what was sent
 * stays, and the next run goes on from it.
 */
export function uploadSteps(request: UploadRequest, { shell, done }: UploadDeps): Step[] {
  const { file, name, storage } = request;
  parseImageName(name);
  const qm = new Qm(shell);
  let plan: TemplatePlan = previewPlan(request);
  let image: Qcow2;
  let content: Content;
  let lock: NodeLock | undefined;
  let existing: ImageMetadata | undefined;
  let made: ImageMetadata | undefined;

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
      throw told.withTodo([...told.todo, ...manualSteps(request, plan, shell.target)]);
    }
  };
  const remainder = async (): Promise<string> => {
    const path = plan.imagePath;
    const total = formatBytes(content.size);
    const remove = `npm run leftovers removes it, or on the node: rm ${path}`;
    try {
      const arrived = await arrivedBytes(shell, path, content);
      if (arrived === 0) return `Nothing of the image lies on the node (${path})`;
      return `${formatBytes(arrived)} of ${total} lie on the node in ${path}: running this again goes on from there (${remove})`;
    } catch {
      return `What has arrived of ${total} lies on the node in ${path}: running this again goes on from there (${remove})`;
    }
  };

  return [
    {
      title: `Check ${printable(file)}`,
      async run(control) {
        image = await inspectQcow2(file);
        content = await readContent(file, control);
        plan = { ...plan, imagePath: uploadPath(name, content.sha256) };
        const zeros = content.size - bytesAfter(content.extents);
        control.note(
          `${formatBytes(image.fileSize)}${zeros > 0 ? `, ${formatBytes(zeros)} of them zeros that are not sent` : ""}; a disk of ${formatBytes(image.virtualSize)} for the guest`,
        );
      },
    },
    {
      title: `Check the node (${shell.target.user}@${shell.target.host})`,
      preview: () => ["pveversion", "id -u", "qm list", "pvesm status", "df /var/lib"],
      async run({ signal }) {
        await demandNode(shell, signal);
        existing = await sameTemplate(qm, name, signal, content.sha256);
        if (existing !== undefined) return;
        const arrived = await arrivedBytes(shell, plan.imagePath, content, signal);
        await demandRoom(shell, storage, image, bytesAfter(content.extents, arrived), signal);
      },
    },
    {
      title: "Make sure that nobody else uploads it",
      skip: isThere,
      preview: () => [`flock -n ${UPLOAD_FOLDER}/${name}.lock`],
      async run({ signal, undo }) {
        lock = await lockUpload(shell, name, signal);
        undo("the lock on the node released", async () => await lock?.release());
      },
    },
    {
      title: "Send the image",
      skip: isThere,
      preview: () => [`dd of=${plan.imagePath} seek=OFFSET count=LENGTH conv=notrunc`],
      async run(control) {
        control.stays(remainder);
        await byHand("The image was not sent", control.signal, async () => {
          await markUpload(shell, plan.imagePath, control.signal);
          const { limit } = request;
          const sent = await send(shell, file, content, plan.imagePath, { ...control, limit });
          if (sent.bytes === 0) control.note("It lay on the node already, nothing was sent");
          else if (sent.resumedAt > 0)
            control.note(
              `${formatBytes(sent.bytes)} sent, after ${formatBytes(sent.resumedAt)} of an earlier run`,
            );
        });
      },
    },
    {
      title: "Compare checksums",
      skip: isThere,
      preview: () => [`sha256sum ${plan.imagePath}`],
      async run({ signal }) {
        await byHand(
          "The image was not compared",
          signal,
          async () => await demandArrived(shell, plan.imagePath, content.sha256, signal),
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
        const qcow2 = { path: file, bytes: image.fileSize, sha256: content.sha256 };
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
      preview: () => [`rm -f ${plan.imagePath}`],
      async run({ signal, note }) {
        // An earlier run may have been killed between the template and this.
        await removeUpload(shell, plan.imagePath, signal);
        await lock?.release();
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

/** "20M" → 20_971_520 bytes a second. @throws {UsageError} */
function parseRate(text: string): number {
  const [, amount, unit = ""] = /^(\d+(?:\.\d+)?)([KMG]?)$/.exec(text) ?? [];
  const rate = Math.floor(Number(amount) * 1024 ** ["", "K", "M", "G"].indexOf(unit));
  if (rate >= 1024) return rate;
  throw new UsageError({
    what: `--limit ${text} is no rate`,
    why: "Bytes a second, 1K or more, with K, M or G behind them where they are so many",
    todo: ["Give another one: --limit 20M"],
  });
}

const command = defineCommand({
  name: "upload-image",
  summary: "Make a Proxmox template of a qcow2 image, over SSH; prints the template's name",
  positionals: [
    { name: "FILE", about: "the image, qcow2" },
    { name: "VERSION", about: "the template's name, for example alma9-k3-node-amd64-v1.28.5-v1" },
  ],
  flags: {
    limit: {
      type: "string",
      value: "RATE",
      about: "bytes a second that the transfer takes at most, for example 20M",
    },
  },
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
    const { settings, flags } = context;
    const [file = "", name = ""] = context.args;
    const limit = flags.limit === undefined ? undefined : parseRate(flags.limit);
    const shell = shellFrom(settings);
    shell.demandHost();
    await upload(context, shell, {
      file: resolve(file),
      name,
      storage: settings.PM_STORAGE,
      bridge: settings.PM_BRIDGE,
      k3sVersion: settings.K3S_VERSION,
      limit,
    });
  },
});

await main(import.meta.url, command);
