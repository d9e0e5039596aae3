import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { messageOf, TaskError, UsageError } from "../lib/errors.ts";
import { parseImageName } from "../lib/image-name.ts";
import { formatBytes } from "../lib/progress.ts";
import {
  bytesAfter,
  type Content,
  createFree,
  type Deed,
  demandImported,
  demandOwn,
  finishNotes,
  type ImageMetadata,
  imageMetadata,
  inspectQcow2,
  interruptedUploads,
  keepMetadata,
  marked,
  type NodeLock,
  type OwnVm,
  previewPlan,
  printable,
  type Qcow2,
  readContent,
  removeInterrupted,
  renderNotes,
  sameTemplate,
  type TemplatePlan,
  type UploadWay,
} from "../lib/proxmox/index.ts";
import { defineCommand, main, type Step, type StepControl, type TaskContext } from "../lib/task/index.ts";
import { VIA_FLAG, WAY_USES, wayFrom } from "./image-upload/way.ts";

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
  readonly way: UploadWay;
  /** Told of the template once it is there. */
  readonly done?: (metadata: ImageMetadata) => void;
}

/**
 * Turn a qcow2 image into a template: check, send, verify, import. Whatever fails before it is done, the VM is removed
 * again as long as it is still this run's; what was sent stays, and the next run goes on from it.
 */
export function uploadSteps(request: UploadRequest, { way, done }: UploadDeps): Step[] {
  const { file, name } = request;
  parseImageName(name);
  const { vms } = way;
  let plan: TemplatePlan = { ...previewPlan(request), imagePath: way.place(name, "CHECKSUM") };
  let image: Qcow2;
  let content: Content;
  let lock: NodeLock | undefined;
  let existing: ImageMetadata | undefined;
  let own: OwnVm | undefined;
  let made: ImageMetadata | undefined;

  const demandStillOurs = async (signal: AbortSignal): Promise<OwnVm> => {
    if (own === undefined) throw new Error("no VM was made");
    await demandOwn(vms, own, signal);
    return own;
  };
  const isThere = (): string | false => existing !== undefined && "the template is there already";
  /** A step of those that make the template: there is nothing to do where it is there, and people can do it by hand. */
  const step = (
    title: string,
    deed: Deed,
    failed: string,
    run: (control: StepControl) => Promise<void>,
  ): Step => ({
    title,
    skip: isThere,
    preview: () => way.preview(deed, plan),
    async run(control) {
      try {
        await run(control);
      } catch (error) {
        // Whoever interrupts it knows why.
        control.signal.throwIfAborted();
        const told =
          error instanceof TaskError
            ? error
            : new TaskError({ what: failed, why: messageOf(error), cause: error });
        throw told.withTodo([...told.todo, ...way.byHand(file, plan)]);
      }
    },
  });

  return [
    {
      title: `Check ${printable(file)}`,
      async run(control) {
        image = await inspectQcow2(file);
        content = await readContent(file, control);
        const zeros = content.size - bytesAfter(content.extents);
        control.note(
          `${formatBytes(image.fileSize)}${zeros > 0 ? `, ${formatBytes(zeros)} of them zeros` : ""}; a disk of ${formatBytes(image.virtualSize)} for the guest`,
        );
      },
    },
    {
      title: `Check the node (${way.target})`,
      preview: () => way.preview("check", plan),
      async run({ signal }) {
        await way.demandNode(signal);
        plan = { ...plan, imagePath: way.place(name, content.sha256) };
        const query = { name, alone: way.locks };
        const left = await interruptedUploads(vms, query, signal);
        existing = await sameTemplate(vms, name, signal, content.sha256, left);
        if (existing === undefined) await way.demandRoom(plan, image, content, signal);
      },
    },
    {
      title: "Make sure that nobody else uploads it",
      skip: isThere,
      preview: () => way.preview("lock", plan),
      async run({ signal, undo }) {
        lock = await way.lock(name, signal);
        undo("the lock on the node released", async () => await lock?.release());
      },
    },
    {
      title: "Remove what interrupted uploads of it have left",
      skip: isThere,
      async run({ signal, confirm, note }) {
        const query = { name, alone: way.locks };
        for (const { vmid } of await interruptedUploads(vms, query, signal)) {
          const what = `VM ${vmid} (${name}), which an interrupted upload has left`;
          if (!(await confirm(`Remove ${what}?`))) {
            throw new TaskError({
              what: `The name ${name} is taken on the node`,
              why: `VM ${vmid} has it, which an interrupted upload has left, and the answer was no`,
              todo: ["See what was left, and remove it:", "$ npm run leftovers"],
              left: ["Nothing was changed"],
            });
          }
          // While the question stood, it may have gone and its number become another's.
          if (!(await interruptedUploads(vms, query, signal)).some((vm) => vm.vmid === vmid)) continue;
          const disks = await removeInterrupted(vms, vmid, plan.storage, signal);
          note(`Removed ${what}`);
          for (const disk of disks)
            note(
              `${disk} stays, for nothing tells whose it is; if nobody wants it, on the node: pvesm free ${disk}`,
            );
        }
      },
    },
    step("Send the image", "send", "The image was not sent", async (control) => {
      control.stays(async () => await way.remainder(plan.imagePath, content));
      const { limit } = request;
      const sent = await way.send(file, content, plan.imagePath, { ...control, limit });
      if (sent.bytes === 0) control.note("It lay on the node already, nothing was sent");
      else if (sent.resumedAt > 0)
        control.note(
          `${formatBytes(sent.bytes)} sent, after ${formatBytes(sent.resumedAt)} of an earlier run`,
        );
    }),
    step("Compare checksums", "compare", "The image was not compared", async ({ signal }) => {
      await way.compare(plan.imagePath, content.sha256, signal);
    }),
    step("Create the VM", "create", "The VM was not created", async (control) => {
      // Sending takes minutes: somebody may have taken the name in the meantime.
      await sameTemplate(vms, name, control.signal);
      own = await createFree(vms, plan, { ...control, locked: way.locks });
      plan = { ...plan, vmid: own.vmid };
      await demandOwn(vms, own, control.signal);
    }),
    step("Import the disk", "import", "The disk was not imported", async ({ signal, output }) => {
      await demandStillOurs(signal);
      await vms.importImage(plan, { signal, onLine: output });
      await demandImported(vms, plan.vmid, image, signal);
    }),
    step(
      "Add the cloud-init drive and the notes",
      "configure",
      "The VM was not configured",
      async ({ signal }) => {
        const { mark } = await demandStillOurs(signal);
        const builtAt = (await stat(file)).mtime;
        const { k3sVersion } = request;
        const qcow2 = { path: file, bytes: image.fileSize, sha256: content.sha256 };
        made = imageMetadata({ name, k3sVersion, builtAt, vmid: plan.vmid, qcow2 });
        plan = { ...plan, notes: marked(mark, renderNotes(made)) };
        await vms.addCloudInit(plan, { signal });
      },
    ),
    step(
      "Turn it into a template",
      "template",
      "The VM was not turned into a template",
      async ({ signal }) => {
        await demandStillOurs(signal);
        await vms.template(plan.vmid, { signal });
      },
    ),
    {
      title: "Remove the transferred file and write the metadata",
      preview: () => way.preview("remove", plan),
      async run({ signal, note }) {
        const metadata = existing ?? made;
        if (metadata === undefined) return;
        await finishNotes(vms, name, own, signal);
        const kept = await keepMetadata(`${file}.json`, metadata);
        // An earlier run may have been killed between the template and this. What lies on the node goes last: as long as
        // it is there, a run knows that there is something left to do.
        const held = lock ?? (await way.lock(name, signal));
        const stays = await way.remove(plan.imagePath, signal);
        if (stays !== undefined) note(stays);
        await held.release();
        note(`Template ${name} has number ${metadata.template_id}; its metadata are in its notes${kept}`);
        done?.(metadata);
      },
    },
  ];
}

/** Run the upload as the end of a command: its result is the template's name. */
export async function upload(
  context: Pick<TaskContext, "steps" | "result">,
  way: UploadWay,
  request: UploadRequest,
): Promise<void> {
  let metadata: ImageMetadata | undefined;
  const done = (made: ImageMetadata): void => {
    metadata = made;
  };
  await context.steps(uploadSteps(request, { way, done }));
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
  summary: "Make a Proxmox template of a qcow2 image; prints the template's name",
  positionals: [
    { name: "FILE", about: "the image, qcow2" },
    { name: "VERSION", about: "the template's name, for example alma9-k3-node-amd64-v1.28.5-v1" },
  ],
  flags: {
    via: VIA_FLAG,
    limit: {
      type: "string",
      value: "RATE",
      about: "bytes a second that the transfer takes at most, for example 20M",
    },
  },
  uses: [...WAY_USES, "PM_STORAGE", "PM_BRIDGE", "K3S_VERSION"],
  async run(context) {
    const { settings, flags } = context;
    const [file = "", name = ""] = context.args;
    const limit = flags.limit === undefined ? undefined : parseRate(flags.limit);
    const { way, close } = await wayFrom(flags.via, context.load);
    try {
      await upload(context, way, {
        file: resolve(file),
        name,
        storage: settings.PM_STORAGE,
        bridge: settings.PM_BRIDGE,
        k3sVersion: settings.K3S_VERSION,
        limit,
      });
    } finally {
      await close();
    }
  },
});

await main(import.meta.url, command);
