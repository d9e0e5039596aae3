import { createHash } from "node:crypto";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { stat, writeFile } from "node:fs/promises";
import { TaskError } from "../errors.ts";
import { formatImageName, parseImageName } from "../image-name.ts";
import { CommandError, start } from "../process.ts";
import { formatBytes, transferLine } from "../progress.ts";
import type { Step, StepControl } from "../task/index.ts";
import { type ImageMetadata, imageMetadata, parseNotes, renderNotes } from "./image-metadata.ts";
import { inspectQcow2, type Qcow2 } from "./qcow2.ts";
import {
  cloudInitWords,
  createWords,
  importWords,
  parseVmid,
  Qm,
  type TemplatePlan,
  type Vmid,
  VmidTakenError,
} from "./qm.ts";
import { quoteWords } from "./quote.ts";
import type { NodeShell } from "./ssh.ts";
import { demandSpace, storages } from "./storage.ts";

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

/** Where the image lies on the node while it is imported; root's own, and not in memory as /tmp may be. */
const FOLDER = "/var/tmp";
/** How many numbers are tried when others are quicker. */
const VMID_ATTEMPTS = 5;

/** Turn a qcow2 image into a template: check, send, verify, import. Whatever fails, what was made is removed again. */
export function uploadSteps(request: UploadRequest, { shell, done }: UploadDeps): Step[] {
  const { file, name, storage, bridge } = request;
  parseImageName(name);
  const qm = new Qm(shell);
  const remote = `${FOLDER}/homelab-${name}-${process.pid}.qcow2`;
  let image: Qcow2;
  let sha256 = "";
  let existing: ImageMetadata | undefined;
  let plan: TemplatePlan;

  const isThere = (): string | false => existing !== undefined && "the template is there already";
  /** Whatever goes wrong from here on, people can go on by hand. */
  const byHand = async <T>(what: string, action: () => Promise<T>): Promise<T> => {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      throw new TaskError({ what, why: error.message, todo: manualSteps(request, plan), cause: error });
    }
  };

  return [
    {
      title: `Check ${file}`,
      async run({ note }) {
        image = await inspectQcow2(file);
        note(`${formatBytes(image.fileSize)}, a disk of ${formatBytes(image.virtualSize)} for the guest`);
      },
    },
    {
      title: `Check the node (${shell.target.user}@${shell.target.host})`,
      preview: () => ["pveversion", "pvesm status", "qm list"],
      async run({ signal }) {
        await shell.run(["pveversion"], { signal });
        existing = await sameTemplate(qm, request, signal, () => hashFile(file, signal));
        if (existing !== undefined) return;
        demandSpace(await storages(shell, { signal }), storage, image.virtualSize);
        const { stdout } = await shell.run(["df", "-B1", "--output=avail", FOLDER], { signal });
        const free = Number(stdout.trim().split("\n").at(-1));
        if (free < image.fileSize) {
          throw new TaskError({
            what: `${FOLDER} on the node is too full`,
            why: `${formatBytes(image.fileSize)} are needed for the transfer, ${formatBytes(free)} are free`,
          });
        }
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
        sha256 = await send(shell, file, remote, image.fileSize, control);
      },
    },
    {
      title: "Compare checksums",
      skip: isThere,
      preview: () => [`sha256sum ${remote}`],
      async run({ signal }) {
        const { stdout } = await shell.run(["sha256sum", remote], { signal });
        const arrived = stdout.split(" ")[0];
        if (arrived === sha256) return;
        throw new TaskError({
          what: "The image was damaged on its way",
          why: `sha256 here ${sha256}, on the node ${arrived}`,
          todo: ["Run it again; if it happens again, check the network and the node's disk and memory"],
        });
      },
    },
    {
      title: "Create the VM",
      skip: isThere,
      preview: () => [quoteWords(createWords({ ...previewPlan(request), imagePath: remote }))],
      async run(control) {
        plan = { vmid: parseVmid(100), name, storage, bridge, imagePath: remote, notes: "" };
        await byHand("The VM was not created", async () => {
          plan = await createFree(qm, plan, control.signal);
        });
        const { vmid } = plan;
        control.undo(`VM ${vmid} removed`, async () => await qm.destroy(vmid));
      },
    },
    {
      title: "Import the disk",
      skip: isThere,
      async run({ signal, output }) {
        await byHand("The disk was not imported", async () => {
          await qm.importImage(plan, { signal, onLine: output });
        });
        await demandImported(qm, plan.vmid, image, signal);
      },
    },
    {
      title: "Add the cloud-init drive and the notes",
      skip: isThere,
      async run({ signal }) {
        const builtAt = (await stat(file)).mtime;
        const { k3sVersion } = request;
        const bytes = image.fileSize;
        existing = imageMetadata({ name, k3sVersion, builtAt, path: file, bytes, vmid: plan.vmid, sha256 });
        plan = { ...plan, notes: renderNotes(existing) };
        existing = undefined;
        await byHand("The VM was not configured", async () => await qm.addCloudInit(plan, { signal }));
      },
    },
    {
      title: "Turn it into a template",
      skip: isThere,
      async run({ signal }) {
        await byHand(
          "The VM was not turned into a template",
          async () => await qm.template(plan.vmid, { signal }),
        );
      },
    },
    {
      title: "Remove the transferred file and write the metadata",
      async run({ signal, note }) {
        if (existing === undefined) await shell.run(["rm", "-f", remote], { signal });
        const metadata = existing ?? parseNotes(plan.notes);
        if (metadata === undefined) return;
        await writeFile(`${file}.json`, `${JSON.stringify(metadata, undefined, 2)}\n`);
        note(
          `Template ${name} has number ${metadata.template_id}; its metadata are in its notes and ${file}.json`,
        );
        done?.(metadata);
      },
    },
  ];
}

/** The commands with which a person does the same by hand. */
export function manualSteps(request: UploadRequest, plan: TemplatePlan = previewPlan(request)): string[] {
  const path = `${FOLDER}/${request.name}.qcow2`;
  const byHand = { ...plan, imagePath: path, notes: `Golden image ${request.name}` };
  return [
    "Or do it by hand:",
    `$ scp ${quoteWords([request.file])} root@NODE:${path}`,
    ...[
      createWords(byHand),
      importWords(byHand),
      cloudInitWords(byHand),
      ["qm", "template", String(plan.vmid)],
    ].map((words) => `$ ${quoteWords(words)}`),
  ];
}

function previewPlan({ name, storage, bridge }: UploadRequest): TemplatePlan {
  return { vmid: parseVmid(9000), name, storage, bridge, imagePath: `${FOLDER}/${name}.qcow2`, notes: "" };
}

/**
 * The template's metadata, when it is there and was made from the very same image.
 * @throws {TaskError} when the name is taken by something else
 */
async function sameTemplate(
  qm: Qm,
  { name }: UploadRequest,
  signal: AbortSignal,
  hash: () => Promise<string>,
): Promise<ImageMetadata | undefined> {
  const vms = await qm.list({ signal });
  const taken = vms.find((vm) => vm.name === name);
  if (taken === undefined) return undefined;
  const config = await qm.config(taken.vmid, { signal });
  const metadata = parseNotes(config.description ?? "");
  if (config.template === "1" && metadata?.qcow2_sha256 === (await hash())) return metadata;
  const free = nextName(
    name,
    vms.map((vm) => vm.name),
  );
  throw new TaskError({
    what: `The name ${name} is taken on the node`,
    why: `VM ${taken.vmid} has it${config.template === "1" ? ", a template made from another image" : ", and is no template"}`,
    todo: [`Use the next free release: ${free}`],
  });
}

/** The same image name with the next release number that nobody has. */
function nextName(name: string, taken: readonly string[]): string {
  const { alma, arch, kubernetes, release } = parseImageName(name);
  for (let next = release + 1; ; next += 1) {
    const candidate = formatImageName({ alma, arch, k3sVersion: `${kubernetes}+k3s1`, release: `v${next}` });
    if (!taken.includes(candidate)) return candidate;
  }
}

/** A number is not reserved by asking for it: when somebody else is quicker, the next one is taken. */
async function createFree(qm: Qm, plan: TemplatePlan, signal: AbortSignal): Promise<TemplatePlan> {
  for (let attempt = 1; ; attempt += 1) {
    const vmid: Vmid = await qm.nextId({ signal });
    try {
      await qm.create({ ...plan, vmid }, { signal });
      return { ...plan, vmid };
    } catch (error) {
      if (!(error instanceof VmidTakenError) || attempt === VMID_ATTEMPTS) throw error;
    }
  }
}

/** `qm` can end with 0 though the import failed: the configuration tells. */
async function demandImported(qm: Qm, vmid: Vmid, image: Qcow2, signal: AbortSignal): Promise<void> {
  const { scsi0 = "" } = await qm.config(vmid, { signal });
  const [, amount = "0", unit = ""] = /size=(\d+)([KMGT]?)/.exec(scsi0) ?? [];
  const size = Number(amount) * 1024 ** ["", "K", "M", "G", "T"].indexOf(unit);
  // Sizes are shown in the largest unit that divides them, so nothing is lost by rounding.
  if (size >= image.virtualSize) return;
  throw new TaskError({
    what: "The disk was not imported completely",
    why:
      scsi0 === ""
        ? "The VM has no disk"
        : `The image has ${image.virtualSize} bytes, the VM's disk ${size} (${scsi0})`,
    todo: ["Check the node's storage and log:", "$ journalctl -u pvedaemon -n 50"],
  });
}

/** Stream the file to the node, hashing on the way; never more in memory than the pipe holds. */
async function send(
  shell: NodeShell,
  file: string,
  remote: string,
  total: number,
  { output, signal }: StepControl,
): Promise<string> {
  const ssh = await shell.command(["--", `umask 077; cat > ${quoteWords([remote])}`]);
  const child = start(ssh.file, ssh.args, { signal });
  const hash = createHash("sha256");
  const started = performance.now();
  let bytes = 0;
  let said = started;
  const ended = child.then((result) => result);
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20, signal })) {
      const data = chunk as Buffer;
      hash.update(data);
      bytes += data.length;
      if (!child.stdin.write(data)) await Promise.race([once(child.stdin, "drain"), ended]);
      if (child.exitCode !== null && child.stdin.destroyed) break;
      if (performance.now() - said < 200) continue;
      said = performance.now();
      output(transferLine({ bytes, total, seconds: (said - started) / 1000 }));
    }
  } finally {
    child.stdin.end();
  }
  const result = await ended;
  signal.throwIfAborted();
  if (result.exitCode !== 0) {
    throw new TaskError({
      what: "The image was not sent",
      why: result.stderr.trim() || `ssh ended with exit code ${result.exitCode} after ${formatBytes(bytes)}`,
      todo: ["Check the connection to the node and its free space, then run it again"],
    });
  }
  return hash.digest("hex");
}

async function hashFile(file: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20, signal }))
    hash.update(chunk as Buffer);
  return hash.digest("hex");
}
