import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse, stringify } from "yaml";
import { run } from "../../lib/process.ts";
import { ensureTool } from "../../lib/toolchain/index.ts";
import type { FaultWorld } from "./world.ts";

const KINDS = [
  "namespaces,deployments,statefulsets,configmaps,services",
  "applications.argoproj.io,appprojects.argoproj.io",
];
const LINE =
  "jsonpath={range .items[*]}{.kind} {.metadata.namespace}/{.metadata.name} {.metadata.uid}{'\\n'}{end}";

/**
 * What the sandbox's cluster holds, a line for each object; nothing where there is none, or nobody has its kubeconfig.
 * It is asked by the API server's own port: the tunnel is the tasks'.
 */
export async function objectsOf({ sandbox, kubeconfig, copy }: FaultWorld): Promise<string[]> {
  const own = join(sandbox.dir, "cluster", "controller-manager.kubeconfig");
  if (!existsSync(own) || !existsSync(kubeconfig)) return [];
  const [server] = /https:\/\/127\.0\.0\.1:\d+/.exec(readFileSync(own, "utf8")) ?? [];
  const config = parse(readFileSync(kubeconfig, "utf8")) as {
    clusters: { cluster: Record<string, string> }[];
  };
  for (const { cluster } of config.clusters) {
    cluster.server = server ?? "";
    delete cluster["proxy-url"];
  }
  const file = join(copy.home, "own-kubeconfig");
  writeFileSync(file, stringify(config), { mode: 0o600 });
  const { path } = await ensureTool("kubectl");
  const lists = await Promise.all(
    KINDS.map(async (kinds) => {
      // Without Argo CD its kinds are not known.
      const { stdout } = await run(path, ["--kubeconfig", file, "get", kinds, "-A", "-o", LINE], {
        allow: [0, 1],
      });
      return stdout.split("\n").filter((line) => line !== "");
    }),
  );
  return lists.flat();
}

/** Wait until the cluster answers again. */
export async function clusterBack(world: FaultWorld): Promise<void> {
  const deadline = Date.now() + 300_000;
  while (Date.now() < deadline) {
    if ((await objectsOf(world)).length > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  throw new Error("the cluster does not answer any more");
}
