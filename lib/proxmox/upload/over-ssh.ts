import { formatBytes } from "../../progress.ts";
import type { Qcow2 } from "../qcow2.ts";
import { cloudInitWords, createWords, importWords, Qm } from "../qm.ts";
import { quoteWords } from "../quote.ts";
import type { NodeShell } from "../ssh.ts";
import type { TemplatePlan } from "../vm-maker.ts";
import { manualSteps } from "./by-hand.ts";
import { bytesAfter, type Content } from "./content.ts";
import { demandNode, demandRoom, UPLOAD_FILESYSTEM } from "./node.ts";
import { lockUpload, type NodeLock } from "./node-lock.ts";
import { UPLOAD_FOLDER, uploadPath } from "./place.ts";
import { markUpload, removeUpload } from "./remainder.ts";
import { arrivedBytes, demandArrived, type SendOptions, type Sent, send } from "./transfer.ts";
import type { Deed, UploadWay } from "./way.ts";

/** As root on the node, which alone may import a file of the node. An interrupted transfer is gone on with. */
export class SshWay implements UploadWay {
  readonly target: string;
  readonly vms: Qm;
  readonly locks = true;
  readonly #shell: NodeShell;

  constructor(shell: NodeShell) {
    this.#shell = shell;
    this.target = `${shell.target.user}@${shell.target.host}`;
    this.vms = new Qm(shell);
  }

  preview(deed: Deed, plan: TemplatePlan): readonly string[] {
    const { name, vmid, imagePath } = plan;
    switch (deed) {
      case "check":
        return ["pveversion", "id -u", "qm list", "pvesm status", `df ${UPLOAD_FILESYSTEM}`];
      case "lock":
        return [`flock -n ${UPLOAD_FOLDER}/${name}.lock`];
      case "send":
        return [`dd of=${imagePath} seek=OFFSET count=LENGTH conv=notrunc`];
      case "compare":
        return [`sha256sum ${imagePath}`];
      case "create":
        return [quoteWords(createWords(plan))];
      case "import":
        return [quoteWords(importWords(plan))];
      case "configure":
        return [quoteWords(cloudInitWords(plan))];
      case "template":
        return [quoteWords(["qm", "template", String(vmid)])];
      case "remove":
        return [quoteWords(["qm", "set", String(vmid), "--description", plan.notes]), `rm -f ${imagePath}`];
    }
  }

  async demandNode(signal: AbortSignal): Promise<void> {
    await demandNode(this.#shell, signal);
  }

  place(name: string, sha256: string): string {
    return uploadPath(name, sha256);
  }

  async demandRoom(plan: TemplatePlan, image: Qcow2, content: Content, signal: AbortSignal): Promise<void> {
    const arrived = await arrivedBytes(this.#shell, plan.imagePath, content, signal);
    const toSend = bytesAfter(content.extents, arrived);
    await demandRoom(this.#shell, plan.storage, image, toSend, signal);
  }

  async remains(name: string, signal: AbortSignal): Promise<boolean> {
    const folder = quoteWords([UPLOAD_FOLDER]);
    const { stdout } = await this.#shell.runLine(`test -d ${folder} && ls ${folder} || true`, { signal });
    return stdout.split("\n").some((file) => file.startsWith(`${name}-`) || file.startsWith(`${name}.`));
  }

  async lock(name: string, signal: AbortSignal): Promise<NodeLock> {
    return await lockUpload(this.#shell, name, signal);
  }

  async send(file: string, content: Content, place: string, options: SendOptions): Promise<Sent> {
    await markUpload(this.#shell, place, options.signal);
    return await send(this.#shell, file, content, place, options);
  }

  async compare(place: string, sha256: string, signal: AbortSignal): Promise<void> {
    await demandArrived(this.#shell, place, sha256, signal);
  }

  async remainder(place: string, content: Content): Promise<string> {
    const total = formatBytes(content.size);
    const goesOn = `running this again goes on from there (npm run leftovers removes it, or on the node: rm ${place})`;
    try {
      const arrived = await arrivedBytes(this.#shell, place, content);
      if (arrived === 0) return `Nothing of the image lies on the node (${place})`;
      return `${formatBytes(arrived)} of ${total} lie on the node in ${place}: ${goesOn}`;
    } catch {
      return `What has arrived of ${total} lies on the node in ${place}: ${goesOn}`;
    }
  }

  async remove(place: string, signal: AbortSignal): Promise<undefined> {
    await removeUpload(this.#shell, place, signal);
  }

  byHand(file: string, plan: TemplatePlan): readonly string[] {
    return manualSteps(file, plan, this.#shell.target);
  }
}
