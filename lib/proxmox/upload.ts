import { randomBytes } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { messageOf, TaskError } from "../errors.ts";
import { formatImageName, parseImageName } from "../image-name.ts";
import { CommandError } from "../process.ts";
import { formatBytes } from "../progress.ts";
import type { Step, StepControl } from "../task/index.ts";
import {
  type ImageMetadata,
  imageMetadata,
  parseMetadata,
  parseNotes,
  renderMetadata,
  renderNotes,
} from "./image-metadata.ts";
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
import type { NodeShell, SshTarget } from "./ssh.ts";
import { demandSpace, storages } from "./storage.ts";
import { hashFile, send } from "./transfer.ts";

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
/** What a shell ends with that does not find the program. */
const NOT_FOUND = 127;
/** How many numbers are tried when others are quicker. */
const VMID_ATTEMPTS = 5;

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
        demandSpace(await storages(shell, { signal }), storage, image.virtualSize);
        const { stdout } = await shell.run(["df", "-B1", "--output=avail", FOLDER], { signal });
        const free = Number(stdout.trim().split("\n").at(-1));
        if (free < image.fileSize) {
          throw new TaskError({
            what: `${FOLDER} on the node is too full`,
            why: `${formatBytes(image.fileSize)} are needed for the transfer, ${formatBytes(free)} are free`,
            todo: ["Free some space there; what is in it:", `$ ls -l ${FOLDER}`],
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
        const bytes = image.fileSize;
        made = imageMetadata({ name, k3sVersion, builtAt, path: file, bytes, vmid: plan.vmid, sha256 });
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

/** @throws {TaskError} when it is no Proxmox VE node, or we are not root there */
async function demandNode(shell: NodeShell, signal: AbortSignal): Promise<void> {
  const { user, host } = shell.target;
  await shell.run(["pveversion"], { signal }).catch((error: unknown) => {
    if (!(error instanceof CommandError) || error.exitCode !== NOT_FOUND) throw error;
    const what = `${host} is not a Proxmox VE node`;
    throw new TaskError({ what, why: error.message, todo: ["Check PM_SSH_HOST"], cause: error });
  });
  const { stdout } = await shell.run(["id", "-u"], { signal });
  if (stdout.trim() === "0") return;
  throw new TaskError({
    what: `${user} may not import a disk on the node`,
    why: "Only root may: qm takes a file of the node from nobody else",
    todo: ["Set PM_SSH_USER=root"],
  });
}

/**
 * Write the metadata beside the image. The template is there by now: a folder that cannot be written to, or a file of
 * somebody else, does not undo it.
 * @returns the rest of a sentence that begins "its metadata are in its notes"
 */
async function keepMetadata(path: string, metadata: ImageMetadata): Promise<string> {
  const shown = printable(path);
  try {
    const text = renderMetadata(metadata);
    const before = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return undefined;
      throw error;
    });
    if (before !== undefined && parseMetadata(before) === undefined)
      return ` alone: ${shown} holds something else and was left as it is`;
    if (before !== text) await writeFile(path, text);
    return ` and ${shown}`;
  } catch (error) {
    return ` alone: ${shown} could not be written (${messageOf(error)})`;
  }
}

/** The commands with which a person does the same by hand. */
export function manualSteps(
  request: UploadRequest,
  plan: TemplatePlan = previewPlan(request),
  target: SshTarget = { host: "NODE", user: "root", port: 22 },
): string[] {
  const path = `${FOLDER}/${request.name}.qcow2`;
  const byHand = { ...plan, imagePath: path, notes: `Golden image ${request.name}` };
  const { host, user, port, configFile } = target;
  const options = (flag: string): string[] => [
    ...(configFile === undefined ? [] : ["-F", configFile]),
    ...(port === 22 ? [] : [flag, String(port)]),
  ];
  const place = `${user}@${host.includes(":") ? `[${host}]` : host}:${path}`;
  return [
    "Or do it by hand, first here:",
    `$ ${quoteWords(["scp", ...options("-P"), request.file, place])}`,
    `$ ${quoteWords(["ssh", ...options("-p"), `${user}@${host}`])}`,
    "Then on the node:",
    ...[
      createWords(byHand),
      importWords(byHand),
      cloudInitWords(byHand),
      ["qm", "template", String(plan.vmid)],
      ["rm", path],
    ].map((words) => `$ ${quoteWords(words)}`),
  ];
}

function previewPlan({ name, storage, bridge }: UploadRequest): TemplatePlan {
  return { vmid: parseVmid(9000), name, storage, bridge, imagePath: `${FOLDER}/${name}.qcow2`, notes: "" };
}

/** A path in one line: a file's name may hold line breaks. */
function printable(path: string): string {
  return path.replace(/\p{Cc}/gu, (char) => JSON.stringify(char).slice(1, -1));
}

/**
 * The template's metadata, when it is there and was made from the very same image.
 * @param hash of the image; without it every template of the name is somebody else's
 * @throws {TaskError} when the name is taken by something else
 */
async function sameTemplate(
  qm: Qm,
  name: string,
  signal: AbortSignal,
  hash?: () => Promise<string>,
): Promise<ImageMetadata | undefined> {
  const vms = await qm.list({ signal });
  const taken = vms.find((vm) => vm.name === name);
  if (taken === undefined) return undefined;
  const config = await qm.config(taken.vmid, { signal });
  const metadata = parseNotes(config.description ?? "");
  if (config.template === "1" && metadata !== undefined && metadata.qcow2_sha256 === (await hash?.()))
    return metadata;
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
async function createFree(qm: Qm, plan: TemplatePlan, control: StepControl): Promise<TemplatePlan> {
  const { signal, undo } = control;
  for (let attempt = 1; ; attempt += 1) {
    const vmid: Vmid = await qm.nextId({ signal });
    const mark = `Being uploaded by homelab (${randomBytes(8).toString("hex")})`;
    try {
      // It is short and is not cut off: nobody would know whether there is a VM now.
      await qm.create({ ...plan, vmid }, mark);
    } catch (error) {
      if (error instanceof VmidTakenError) {
        if (attempt === VMID_ATTEMPTS) throw error;
        continue;
      }
      // The connection may have broken when the node was done. Only a VM that bears our mark is ours.
      const isOurs = async (): Promise<boolean> =>
        (await qm.list()).some((vm) => vm.vmid === vmid) && (await qm.config(vmid)).description === mark;
      if (await isOurs().catch(() => true)) {
        undo(`VM ${vmid} removed`, async () => {
          if (await isOurs()) await qm.destroy(vmid);
        });
      }
      throw error;
    }
    undo(`VM ${vmid} removed`, async () => await qm.destroy(vmid));
    signal.throwIfAborted();
    return { ...plan, vmid };
  }
}

/** Two uploads of one name at the same time: the VM with the lower number stays. */
async function demandFirst(qm: Qm, { name, vmid }: TemplatePlan, signal: AbortSignal): Promise<void> {
  const other = (await qm.list({ signal })).find((vm) => vm.name === name && vm.vmid < vmid);
  if (other === undefined) return;
  throw new TaskError({
    what: `The name ${name} is taken on the node`,
    why: `VM ${other.vmid} got it while we were at work`,
    todo: ["Wait for the other upload, then run it again"],
  });
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
