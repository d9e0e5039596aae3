import * as v from "valibot";
import { isImageName } from "../image-name.ts";
import { goesOn, parseMark, type RunMark } from "../run-mark.ts";
import { number } from "./api/answers.ts";
import type { ProxmoxApi } from "./api/client.ts";
import { ApiFailure } from "./api/failures.ts";
import { contentPath, nodePath, vmPath, volumePath } from "./api/paths.ts";
import { removeVm, runOfTag } from "./changes.ts";
import { inventory, type VmDetails } from "./inventory.ts";
import { quoteWords } from "./quote.ts";
import type { NodeShell } from "./ssh.ts";
import { LOCK_TAKEN, UPLOAD_FOLDER } from "./upload/index.ts";

/** Something that a run which did not end well has left on a node. All of it bears our mark. */
export interface Leftover {
  readonly kind: "VM of an upload" | "VM of a build" | "sent image" | "image to import" | "unused disk";
  /** How people find it on the node: "VM 9002 (alma9-…)", a path, a volume. */
  readonly name: string;
  /** Bytes, where they are known. */
  readonly bytes?: number | undefined;
  /** Which run it was, its number where no more is known. */
  readonly run?: RunMark | string | undefined;
  /** Why it is not to be removed now; undefined when it may be. */
  readonly busy: string | undefined;
  remove(signal: AbortSignal): Promise<void>;
}

const storagesAnswer = v.array(v.object({ storage: v.string(), content: v.string() }));
const volumesAnswer = v.array(v.object({ volid: v.string(), size: v.optional(number) }));

/** What the API shows: VMs that never became templates, images to import, disks that our VMs have but do not use. */
export async function leftoversByApi(
  api: ProxmoxApi,
  node: string,
  signal: AbortSignal,
): Promise<Leftover[]> {
  const [vms, images] = await Promise.all([inventory(api, signal), importedImages(api, node, signal)]);
  return [...vms.flatMap((vm) => vmLeftovers(api, vm)), ...images];
}

function vmLeftovers(api: ProxmoxApi, vm: VmDetails): Leftover[] {
  const { vmid, name, template, tags, config } = vm;
  if (!tags.includes("homelab")) return [];
  const shown = `VM ${vmid} (${name})`;
  const whole = { name: shown, remove: async (signal: AbortSignal) => await removeVm(api, vm, signal) };
  const run = parseMark(config.description ?? "");
  if (!template && run !== undefined) return [{ kind: "VM of an upload", run, busy: busyBy(run), ...whole }];
  if (!template && isImageName(name) && tags.includes("k3s")) {
    // Packer's: while it is being built, the same VM is no leftover.
    const busy = vm.status === "running" ? "it runs: perhaps a build is under way" : undefined;
    const [build] = tags.flatMap((tag) => runOfTag(tag) ?? []);
    return [{ kind: "VM of a build", run: build, busy, ...whole }];
  }
  return Object.entries(config)
    .filter(([slot]) => /^unused\d+$/.test(slot))
    .map(([slot, volume]) => ({
      kind: "unused disk",
      name: `${volume} (${slot} of ${shown})`,
      busy: undefined,
      remove: async (signal) => {
        await api.change("PUT", `${vmPath(vm)}/config`, { delete: slot }, signal);
      },
    }));
}

/** Images that were sent by the API: their names are ours, an image's name and a part of its checksum. */
async function importedImages(api: ProxmoxApi, node: string, signal: AbortSignal): Promise<Leftover[]> {
  const storages = await api.get(`${nodePath(node)}/storage`, storagesAnswer, { enabled: true }, signal);
  const lists = await Promise.all(
    storages
      .filter(({ content }) => content.split(",").includes("import"))
      .map(async ({ storage }) => {
        // A storage that the token may not list holds nothing that it has put there.
        const volumes = await api
          .get(contentPath(node, storage), volumesAnswer, { content: "import" }, signal)
          .catch((error: unknown) => {
            if (error instanceof ApiFailure && error.status === 403) return [];
            throw error;
          });
        return volumes.filter(({ volid }) => isSentImage(volid.split(":import/")[1] ?? ""));
      }),
  );
  return lists.flat().map(({ volid, size }) => ({
    kind: "image to import",
    name: volid,
    bytes: size,
    busy: undefined,
    remove: async (aborted) => {
      await api.runTask("DELETE", volumePath(node, volid), {}, { signal: aborted });
    },
  }));
}

/** What root finds on the node: images that were sent, whole or in part. */
export async function leftoversBySsh(shell: NodeShell, signal: AbortSignal): Promise<Leftover[]> {
  const folder = quoteWords([UPLOAD_FOLDER]);
  const { stdout } = await shell.runLine(`test -d ${folder} && ls ${folder} || true`, { signal });
  const files = stdout.split("\n");
  return await Promise.all(
    files.filter(isSentImage).map(async (file): Promise<Leftover> => {
      const path = `${UPLOAD_FOLDER}/${file}`;
      const [size, mark, taken] = await Promise.all([
        shell.run(["stat", "-c", "%s", path], { signal }),
        shell.runLine(`cat ${quoteWords([`${path}.run`])} 2>/dev/null || true`, { signal }),
        isLocked(shell, file.replace(/-[0-9a-f]{12}\.qcow2$/, ""), signal),
      ]);
      const run = parseMark(mark.stdout);
      return {
        kind: "sent image",
        name: path,
        bytes: Number(size.stdout.trim()),
        run,
        busy: taken ? "an upload holds the lock of its name" : undefined,
        remove: async (aborted) =>
          void (await shell.run(["rm", "-f", path, `${path}.run`], { signal: aborted })),
      };
    }),
  );
}

/** Whether somebody uploads an image of this name now. */
async function isLocked(shell: NodeShell, name: string, signal: AbortSignal): Promise<boolean> {
  const lock = `${UPLOAD_FOLDER}/${name}.lock`;
  const line = `test -e ${quoteWords([lock])} && flock -n -E 75 ${quoteWords([lock])} true`;
  const { exitCode } = await shell.runLine(line, { signal, allow: [0, 1, LOCK_TAKEN] });
  return exitCode === LOCK_TAKEN;
}

function isSentImage(file: string): boolean {
  const [, name] = /^(.+)-[0-9a-f]{12}\.qcow2$/.exec(file) ?? [];
  return name !== undefined && isImageName(name);
}

function busyBy(run: RunMark): string | undefined {
  return goesOn(run) ? `process ${run.pid} is at it` : undefined;
}
