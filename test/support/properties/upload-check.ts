import { setMaxListeners } from "node:events";
import { NodeShell, SshWay } from "../../../lib/proxmox/index.ts";
import type { SandboxEndpoints } from "../../../lib/sandbox/index.ts";
import type { TaskContext } from "../../../lib/task/index.ts";
import { runSteps } from "../../../lib/task/run.ts";
import type { upload } from "../../../tasks/upload-image.ts";
import type { PveApi } from "../pve.ts";
import type { Violations } from "./mutation.ts";

/** An image that is to become a template. */
export interface Upload {
  readonly file: string;
  /** The version string that the script is given. */
  readonly version: string;
  readonly k3sVersion: string;
  /** How the image comes onto the node. */
  readonly via: "ssh" | "api";
  /** Bytes of the disk inside. */
  readonly diskBytes: number;
}

/** What one run of the script came to. */
export interface Uploaded extends Upload {
  /** The last line of its stdout. */
  readonly printed: string;
}

/** Run the task's own code in this process. */
export async function uploadHere(
  task: typeof upload,
  endpoints: SandboxEndpoints,
  request: Upload,
): Promise<Uploaded> {
  const {
    sshHost: host,
    sshUser: user,
    sshPort: port,
    sshConfigFile: configFile,
    storage,
    bridge,
  } = endpoints;
  const { file, version: name, k3sVersion } = request;
  const { signal } = new AbortController();
  // Many steps and children listen to the one signal of a run.
  setMaxListeners(0, signal);
  let printed = "";
  const context: Pick<TaskContext, "steps" | "result"> = {
    steps: async (steps) =>
      await runSteps(steps, {
        signal,
        yes: false,
        reporter: { drawsList: false, step: () => {}, output: () => {}, note: () => {} },
      }),
    result: (text) => {
      printed = text;
    },
  };
  const shell = new NodeShell({ host, user, port, configFile });
  try {
    await task(context, new SshWay(shell), { file, name, storage, bridge, k3sVersion });
  } finally {
    await shell.close();
  }
  return { ...request, printed };
}

/** The check of property 12: each run has made one template of that name, with the image's disk, and printed the name. */
export async function uploadViolations(pve: PveApi, uploads: readonly Uploaded[]): Promise<Violations> {
  const vms = await pve.vms();
  const found = await Promise.all(
    uploads.map(async ({ version, diskBytes, printed }) => {
      const of = (what: string): string => `${what}: ${version}`;
      const [template, ...more] = vms.filter(({ name }) => name === version);
      const told = printed === version ? [] : [of(`"${printed}" was printed`)];
      if (template === undefined || more.length > 0) return [...told, of("there is not one VM of that name")];
      const { scsi0 = "", template: isTemplate } = await pve.config(template.vmid);
      const gigabytes = diskBytes / 1024 ** 3;
      return [
        ...told,
        ...(isTemplate === 1 ? [] : [of("it is no template")]),
        ...(String(scsi0).split(",").includes(`size=${gigabytes}G`) ? [] : [of(`its disk is "${scsi0}"`)]),
      ];
    }),
  );
  return found.flat();
}
