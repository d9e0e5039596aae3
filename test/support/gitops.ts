import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ensureTool } from "../../lib/toolchain/index.ts";
import { which } from "../../lib/which.ts";
import { kubernetesTools } from "./kubernetes.ts";

/** Get what makes the sandbox's Argo CD sync. @returns why it cannot be had, or false */
export async function gitOpsTools(): Promise<string | false> {
  if ((await which("redis-server")) === undefined) {
    return "there is no redis-server (apt-get install redis-server)";
  }
  await kubernetesTools();
  for (const name of ["kustomize", "helm", "argocd-manifests", "argocd"] as const) await ensureTool(name);
  return false;
}

/** Pids of the processes that sync in a sandbox, by program, as the sandbox notes them. */
export function syncingProcesses(dir: string): ReadonlyMap<string, number> {
  const folder = join(dir, "cluster", "argocd");
  const files = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".pid")) : [];
  return new Map(
    files.map((file) => [
      file.replace(/\.pid$/, ""),
      Number(readFileSync(join(folder, file), "utf8").split(" ")[0]),
    ]),
  );
}
