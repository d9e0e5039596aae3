import { PROGRAMS } from "../../lib/sandbox/control-plane/index.ts";
import { ensureTool } from "../../lib/toolchain/index.ts";

/** kubectl and the control plane's programs from the toolchain; downloaded or built once a machine. */
export async function kubernetesTools(): Promise<{ kubectl: string }> {
  for (const name of PROGRAMS) await ensureTool(name);
  return { kubectl: (await ensureTool("kubectl")).path };
}
