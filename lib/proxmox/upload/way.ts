import type { Qcow2 } from "../qcow2.ts";
import type { TemplatePlan, VmMaker } from "../vm-maker.ts";
import type { Content } from "./content.ts";
import type { NodeLock } from "./node-lock.ts";
import type { SendOptions, Sent } from "./transfer.ts";

/** What an upload does on the node, a command or a call each. */
export type Deed =
  | "check"
  | "lock"
  | "send"
  | "compare"
  | "create"
  | "import"
  | "configure"
  | "template"
  | "remove";

/** How an image comes onto the node and becomes a template: over SSH as root, or by the API with the token. */
export interface UploadWay {
  /** Whom it talks to, for titles: "root@10.23.45.10". */
  readonly target: string;
  readonly vms: VmMaker;
  /** Whether its lock keeps everybody else out, on whatever machine. */
  readonly locks: boolean;
  /** What a deed comes to, for people. */
  preview(deed: Deed, plan: TemplatePlan): readonly string[];
  /** @throws {TaskError} where this way cannot be gone, saying what it lacks */
  demandNode(signal: AbortSignal): Promise<void>;
  /**
   * Where the image lies on the node before it is imported: a path, or a volume.
   * @param sha256 of the image: another image never goes on where this one has stopped
   */
  place(name: string, sha256: string): string;
  /** @throws {TaskError} when there is too little room for the image, or for the disk it becomes */
  demandRoom(plan: TemplatePlan, image: Qcow2, content: Content, signal: AbortSignal): Promise<void>;
  /** Whether an upload of this name has left anything of what was sent, though perhaps it came to a template. */
  remains(name: string, signal: AbortSignal): Promise<boolean>;
  /** @throws {TaskError} when somebody else uploads the same image now */
  lock(name: string, signal: AbortSignal): Promise<NodeLock>;
  send(file: string, content: Content, place: string, options: SendOptions): Promise<Sent>;
  /** @throws {TaskError} when something else has arrived */
  compare(place: string, sha256: string, signal: AbortSignal): Promise<void>;
  /** What lies on the node, and what becomes of it, as a sentence. */
  remainder(place: string, content: Content): Promise<string>;
  /**
   * Take away what was sent, once it is imported.
   * @returns a sentence where it had to stay
   */
  remove(place: string, signal: AbortSignal): Promise<string | undefined>;
  /** The commands with which a person does the same by hand. */
  byHand(file: string, plan: TemplatePlan): readonly string[];
}
