import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import type { NodeContext, NodeServer, SandboxContext } from "../hooks.ts";
import { builtins, complain, type Programs, runCommandLine, scp, write } from "../shell/index.ts";
import { keptKey } from "../ssh/index.ts";
import { writeFileAtomic } from "../world/index.ts";
import { acceptor, interceptPrograms } from "./interfere.ts";
import { pveTools } from "./pve-tools.ts";
import { pveum } from "./pveum.ts";
import { qm } from "./qm.ts";

/** What the node needs to know of the network behind it. */
export interface GuestNetwork {
  /**
   * Open a connection to a guest.
   * @returns undefined where nothing listens
   */
  connect(address: string, port: number): Promise<Duplex | undefined>;
}

const USER = "root";

/**
 * Serve the node's SSH side on loopback: its shell with Proxmox's tools, file transfer, and connections to the guests
 * (so that it works as a jump host). One key may log in; it is made with the world.
 */
export async function serveNode(context: NodeContext, network: GuestNetwork): Promise<NodeServer> {
  const { world, log, faults } = context;
  const client = keptKey(join(world.dir, "ssh", "id_ed25519"), "homelab-sandbox");
  const hostKey = keptKey(world.files.toHost("/etc/ssh/ssh_host_ed25519_key"), `root@${world.node}`);
  const sockets = new Set<Socket>();
  const programs = interceptPrograms(nodePrograms(context), faults, () => {
    for (const socket of sockets) socket.resetAndDestroy();
  });
  const accept = acceptor(
    {
      hostKey: hostKey.private,
      keysOf: (user) => (user === USER ? [client.public] : []),
      exec: async (_user, line, streams) =>
        await runCommandLine(line, streams, {
          files: world.files,
          programs,
          user: { name: USER, root: true },
        }),
      forward: async (host, port) => await network.connect(host, port),
      files: world.files,
      log,
    },
    faults,
  );
  // ssh2's own listener would not tell a test's connections from a leak: one plain server, closed in order.
  const listener = createServer((socket) => {
    socket.setNoDelay(true);
    accept(socket);
  });
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  const sshPort = typeof address === "object" && address !== null ? address.port : 0;
  listener.on("connection", (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  return {
    sshPort,
    sshUser: USER,
    sshConfigFile: writeClientConfig(world.dir, sshPort, hostKey.public),
    sshPublicKeyFile: join(world.dir, "ssh", "id_ed25519.pub"),
    close: async () => {
      listener.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Everything the node's shell knows. */
export function nodePrograms(context: SandboxContext): Programs {
  const { world } = context;
  const programs: Programs = {
    ...builtins,
    ...pveTools(context),
    pveum: pveum(context),
    qm: qm(context),
    scp,
    hostname: async ({ stdout }) => {
      await write(stdout, `${world.node}\n`);
      return 0;
    },
    id: async ({ args, stdout }) => {
      await write(stdout, args.includes("-u") ? "0\n" : "uid=0(root) gid=0(root) groups=0(root)\n");
      return 0;
    },
    date: async ({ args, stdout }) => {
      const now = new Date(world.now());
      await write(stdout, `${args[0] === "+%s" ? Math.floor(now.getTime() / 1000) : now.toUTCString()}\n`);
      return 0;
    },
    // Its name server knows every name; only commands that are made to fail find one that it does not.
    getent: async (process) => {
      const [database, name = ""] = process.args;
      if (database !== "hosts") return await complain(process, "the sandbox knows getent hosts NAME");
      await write(process.stdout, `192.0.2.80      ${name}\n`);
      return 0;
    },
    lscpu: async ({ stdout }) => {
      await write(stdout, `Architecture:  x86_64\nFlags:         ${world.cpuFlags()}\n`);
      return 0;
    },
    command: async (process) => {
      const name = process.args.at(-1) ?? "";
      if (process.args[0] !== "-v") return await complain(process, "the sandbox knows command -v");
      if (!Object.hasOwn(programs, name)) return 1;
      await write(process.stdout, `/usr/sbin/${name}\n`);
      return 0;
    },
  };
  return programs;
}

/** A client configuration that reaches this node alone, and knows its host key; the user's own is not touched. */
function writeClientConfig(dir: string, port: number, hostKey: string): string {
  const knownHosts = join(dir, "ssh", "known_hosts");
  const config = join(dir, "ssh", "config");
  const [type, key] = hostKey.split(" ");
  writeFileAtomic(knownHosts, `[127.0.0.1]:${port} ${type} ${key}\n`);
  const quoted = (path: string): string => `"${path}"`;
  writeFileAtomic(
    config,
    `# Made by the homelab sandbox at each start.
Host *
  IdentityFile ${quoted(join(dir, "ssh", "id_ed25519"))}
  IdentitiesOnly yes
  UserKnownHostsFile ${quoted(knownHosts)}
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
`,
  );
  return config;
}
