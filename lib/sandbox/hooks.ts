import type { Dispatch } from "./calls.ts";
import type { Faults } from "./faults/index.ts";
import type { GuestVm, World } from "./world/index.ts";

/** The agent's commands that the API passes on; the names are the API's. */
export type AgentCommand =
  | {
      readonly name:
        | "ping"
        | "info"
        | "get-osinfo"
        | "get-host-name"
        | "network-get-interfaces"
        | "get-users";
    }
  | { readonly name: "exec"; readonly argv: readonly string[]; readonly input?: string }
  | { readonly name: "exec-status"; readonly pid: number }
  | { readonly name: "file-read"; readonly file: string };

/**
 * What happens inside the VMs. The API tells it which VMs run; it answers for their agents.
 * It reads the world but changes nothing in it.
 */
export interface GuestRuntime {
  /**
   * The VM was switched on, or the sandbox was restarted while it ran. The start task waits for this and fails with
   * the error's message; what takes long (a control plane) goes on in the background.
   */
  started(vm: GuestVm): Promise<void>;
  /**
   * The VM is to go down. Resolves once nothing of it runs any more.
   * @param how "stop" cuts the power, "shutdown" lets the guest end by itself
   */
  stopped(vm: GuestVm, how: "stop" | "shutdown"): Promise<void>;
  /** The VM and its disks are gone; forget what was kept about it. */
  destroyed(vmid: number): Promise<void>;
  /**
   * Answer an agent command.
   * @returns what the API puts under `data.result`; for exec and exec-status what it puts under `data`
   * @throws {AgentUnreachable} while the guest has not booted, or has no agent
   */
  agent(vm: GuestVm, command: AgentCommand): Promise<unknown>;
  /** The sandbox ends: end everything that runs, keep what is on disk. */
  close(): Promise<void>;
}

/** The guest's agent does not answer. */
export class AgentUnreachable extends Error {
  override readonly name = "AgentUnreachable";

  constructor(message = "QEMU guest agent is not running") {
    super(message);
  }
}

/** What the node's SSH side and the guests are given to work with. */
export interface SandboxContext {
  readonly world: World;
  /** The operations of the API; `qm` and `pvesm` call them as root@pam. */
  readonly dispatch: Dispatch;
  /** One line for the sandbox's own log. */
  readonly log: (line: string) => void;
}

/** The same for the node's SSH side, where things fail on purpose. */
export interface NodeContext extends SandboxContext {
  readonly faults: Faults;
}

/** The node's SSH server, once it listens. */
export interface NodeServer {
  readonly sshPort: number;
  readonly sshUser: string;
  /** OpenSSH client configuration that reaches the node without touching the user's own. */
  readonly sshConfigFile: string;
  /** Public half of the key that the node accepts. */
  readonly sshPublicKeyFile: string;
  close(): Promise<void>;
}

/** VMs without anything inside: they run, and their agent never answers. */
export const emptyGuests: GuestRuntime = {
  started: async () => {},
  stopped: async () => {},
  destroyed: async () => {},
  agent: async () => {
    throw new AgentUnreachable();
  },
  close: async () => {},
};
