import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Kubectl } from "../../lib/k8s/kubectl.ts";
import {
  type ClusterNode,
  ControlPlane,
  PROGRAMS,
  type Program,
} from "../../lib/sandbox/control-plane/index.ts";
import { ensureTool } from "../../lib/toolchain/index.ts";

/** A real control plane on loopback, without the node that it would run on. */
export interface OwnCluster {
  readonly kubectl: Kubectl;
  /** The administrator's, with the context that the tasks expect. */
  readonly kubeconfig: string;
  /** A kubeconfig of somebody else's, who logs in by a token. */
  kubeconfigFor(name: string, token: string): string;
  /** Let a further machine join it. */
  join(node: ClusterNode): Promise<void>;
  stop(): Promise<void>;
}

/**
 * @param dir a folder of its own
 * @param context what the kubeconfig calls it
 */
export async function startCluster(dir: string, context: string): Promise<OwnCluster> {
  const programs = Object.fromEntries(
    await Promise.all(PROGRAMS.map(async (name) => [name, (await ensureTool(name)).path] as const)),
  ) as Record<Program, string>;
  const program = (await ensureTool("kubectl")).path;
  const plane = new ControlPlane(join(dir, "cluster"), programs);
  const node: ClusterNode = {
    name: "k3s-s1",
    address: "10.23.45.31",
    cores: 4,
    memory: 24576,
    k3sVersion: "v1.35.6+k3s1",
  };
  const members = [node];
  await plane.start(node, members, AbortSignal.timeout(120_000));
  const admin = plane.access?.kubeconfigFile("admin");
  if (admin === undefined) throw new Error("the cluster did not start");
  const text = readFileSync(admin, "utf8").replaceAll(/\bdefault$/gm, context);
  const write = (name: string, content: string): string => {
    const file = join(dir, name);
    writeFileSync(file, content, { mode: 0o600 });
    return file;
  };
  const kubeconfig = write("kubeconfig", text);
  return {
    kubectl: new Kubectl({ program, kubeconfig, context }),
    kubeconfig,
    kubeconfigFor: (name, token) =>
      write(
        `kubeconfig-${name}`,
        text.replace(/^ {4}client-certificate-data: .*\n {4}client-key-data: .*$/m, `    token: ${token}`),
      ),
    join: async (further) => {
      members.push(further);
      await plane.join(further, members);
    },
    stop: async () => await plane.stop(),
  };
}
