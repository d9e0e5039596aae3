import { rm } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { messageOf } from "../../errors.ts";
import { type AgentCommand, AgentUnreachable, type GuestRuntime, type SandboxContext } from "../hooks.ts";
import type { GuestNetwork } from "../node/index.ts";
import type { GuestVm } from "../world/index.ts";
import { networkInterfaces, osInfo } from "./agent.ts";
import { Cluster } from "./cluster.ts";
import { factsOf, isK3sGuest } from "./facts.ts";
import { Guest } from "./guest.ts";
import { duplexPair } from "./pair.ts";

/** Seconds from power-on until the agent answers; a real guest takes longer, and every test would wait for it. */
const BOOT_MS = 500;

const SSH = 22;
const KUBERNETES = 6443;

/** Everything that runs inside the VMs of the sandbox. */
export class Guests implements GuestRuntime, GuestNetwork {
  readonly #dir: string;
  /** The network of the VMs' bridge, which gives those without an address of their own one. */
  readonly #network: string;
  readonly #log: (line: string) => void;
  readonly #cluster: Cluster;
  readonly #booting = new Map<number, NodeJS.Timeout>();
  readonly #guests = new Map<number, Guest>();

  constructor({ world, log }: Pick<SandboxContext, "world" | "log">) {
    this.#dir = join(world.dir, "guests");
    this.#network = world.bridges[0]?.cidr ?? "10.23.45.2/24";
    this.#log = log;
    this.#cluster = new Cluster(join(world.dir, "cluster"), log);
  }

  /** End what a killed sandbox has left running. */
  async endLeftovers(): Promise<void> {
    await this.#cluster.endLeftovers();
  }

  async started(vm: GuestVm): Promise<void> {
    // Without k3s inside there is nothing that we know how to play.
    if (!isK3sGuest(vm)) return;
    const timer = setTimeout(() => {
      try {
        this.#boot(vm);
      } catch (error) {
        // A guest that does not come up is the VM's trouble, not the node's.
        this.#log(`VM ${vm.vmid} does not boot: ${messageOf(error)}`);
      }
    }, BOOT_MS);
    this.#booting.set(vm.vmid, timer);
  }

  async stopped(vm: GuestVm): Promise<void> {
    clearTimeout(this.#booting.get(vm.vmid));
    this.#booting.delete(vm.vmid);
    this.#guests.delete(vm.vmid);
    await this.#cluster.leave(vm.vmid);
  }

  async destroyed(vmid: number): Promise<void> {
    await rm(join(this.#dir, String(vmid)), { recursive: true, force: true });
    await this.#cluster.forget(vmid);
  }

  async agent(vm: GuestVm, command: AgentCommand): Promise<unknown> {
    const guest = this.#guests.get(vm.vmid);
    if (guest === undefined) throw new AgentUnreachable();
    switch (command.name) {
      case "ping":
        return {};
      case "network-get-interfaces":
        return networkInterfaces(guest.facts);
      case "get-host-name":
        return { "host-name": guest.facts.hostname };
      case "get-osinfo":
        return osInfo;
      case "get-users":
        return [];
      case "info":
        return { version: "9.0.0", supported_commands: [] };
      case "exec":
        return await guest.execute(command.argv);
      case "exec-status":
        return guest.statusOf(command.pid) ?? { exited: 0 };
      case "file-read": {
        const { pid } = await guest.execute(["cat", command.file]);
        const { exitcode, "out-data": content = "" } = guest.statusOf(pid) as {
          exitcode: number;
          "out-data"?: string;
        };
        if (exitcode !== 0) {
          throw new AgentUnreachable(
            `Agent error: Failed to open file '${command.file}' (mode: 'r'): No such file or directory`,
          );
        }
        return { content, "bytes-read": content.length };
      }
    }
  }

  /** A connection from the node's network to a guest: its SSH, or the API server that plays its k3s. */
  async connect(address: string, port: number): Promise<Duplex | undefined> {
    const guest = [...this.#guests.values()].find(({ facts }) => facts.address === address);
    if (guest === undefined) return undefined;
    if (port === SSH) {
      const [ours, theirs] = duplexPair();
      // ssh2 documents any duplex stream here; its types ask for a socket.
      guest.ssh.injectSocket(theirs as Socket);
      return ours;
    }
    const api = this.#cluster.controlPlane?.port;
    if (port !== KUBERNETES || api === undefined) return undefined;
    return await new Promise((resolve, reject) => {
      const socket = connect(api, "127.0.0.1", () => resolve(socket));
      socket.once("error", reject);
    });
  }

  async close(): Promise<void> {
    for (const timer of this.#booting.values()) clearTimeout(timer);
    for (const vmid of this.#guests.keys()) await this.#cluster.leave(vmid);
    this.#guests.clear();
  }

  #boot(vm: GuestVm): void {
    this.#booting.delete(vm.vmid);
    const facts = factsOf(vm, this.#network);
    const guest = new Guest(join(this.#dir, String(vm.vmid)), facts, this.#cluster, this.#log);
    this.#guests.set(vm.vmid, guest);
    const { hostname: name, address, k3sVersion, cores, memory } = facts;
    if (address !== undefined) this.#cluster.join(vm.vmid, { name, address, k3sVersion, cores, memory });
    else this.#log(`VM ${vm.vmid} has no address: k3s does not start`);
  }
}
