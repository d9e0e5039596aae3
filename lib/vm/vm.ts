import { type NodeShell, quoteWords, type VmTarget } from "../proxmox/index.ts";

/** What is known of a VM that was made from an image. */
export interface VmFacts extends VmTarget {
  readonly vmid: number;
  readonly name: string;
}

/** A VM, reached by SSH through the node or beside it. */
export class Vm implements VmFacts {
  readonly shell: NodeShell;
  readonly vmid: number;
  readonly name: string;
  readonly address: string;
  readonly user: string;
  readonly jump: boolean;
  readonly knownHostsFile: string;

  constructor(shell: NodeShell, { vmid, name, address, user, jump, knownHostsFile }: VmFacts) {
    this.shell = shell;
    this.vmid = vmid;
    this.name = name;
    this.address = address;
    this.user = user;
    this.jump = jump;
    this.knownHostsFile = knownHostsFile;
  }

  /**
   * Run a program on it; resolves to what it prints.
   * @throws {TaskError} when ssh fails, {CommandError} when the program does
   */
  async run(words: readonly string[], signal: AbortSignal): Promise<string> {
    return (await this.shell.runOnVm(this, words, { signal })).stdout;
  }

  /** The command with which a person logs in, ready to paste. */
  get login(): string {
    return quoteWords(this.shell.vmCommand(this));
  }
}
