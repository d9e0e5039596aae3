import { isImageName } from "../../image-name.ts";
import { parseMark, type RunMark } from "../../run-mark.ts";
import { vmPath } from "../api/paths.ts";
import { business } from "../build-vms.ts";
import { removeVm, runOfTag } from "../changes.ts";
import { type VmDetails, vmStatus } from "../inventory.ts";
import type { Surroundings } from "./by-api.ts";
import { busyUpload, type Leftover } from "./leftover.ts";
import { configNow, sameVm } from "./same-vm.ts";

/** What a VM that never became a template is. */
interface UnfinishedVm extends Pick<Leftover, "kind" | "run" | "doubt"> {
  /** Of the VM as it is at that moment. */
  busy(vm: VmDetails, signal: AbortSignal): Promise<string | undefined>;
}

/** What of a VM was left: the VM as a whole, or disks of it that nothing uses. */
export async function vmLeftovers(
  around: Surroundings,
  vm: VmDetails,
  signal: AbortSignal,
): Promise<Leftover[]> {
  if (!vm.tags.includes("homelab")) return [];
  const whole = unfinished(around, vm);
  if (whole === undefined) return unusedDisks(around, vm);
  const { api } = around;
  const { kind, run, doubt } = whole;
  return [
    {
      kind,
      name: shown(vm),
      run,
      doubt,
      busy: await whole.busy(vm, signal),
      async remove(aborted) {
        const same = async (): Promise<string | undefined> => await sameVm(api, vm, aborted);
        const busy = async (): Promise<string | undefined> =>
          await whole.busy({ ...vm, status: await vmStatus(api, vm, aborted) }, aborted);
        const why = (await same()) ?? (await busy()) ?? (await same());
        if (why === undefined) await removeVm(api, vm, aborted);
        return why;
      },
    },
  ];
}

/** The run of the upload that makes a VM now, or has left it. */
export function uploadOf({ template, tags, config }: VmDetails): RunMark | undefined {
  const { description = "" } = config;
  if (template || !tags.includes("homelab") || !description.startsWith("Being uploaded")) return undefined;
  return parseMark(description);
}

function unfinished(around: Surroundings, vm: VmDetails): UnfinishedVm | undefined {
  const { name, template, tags } = vm;
  const upload = uploadOf(vm);
  if (upload !== undefined) {
    return {
      kind: "VM of an upload",
      run: upload,
      busy: async ({ status }, signal) =>
        status === "running" ? "it runs" : await busyUpload(name, upload, around, signal),
    };
  }
  if (template || !isImageName(name) || !tags.includes("k3s")) return undefined;
  const [run] = tags.flatMap((tag) => runOfTag(tag) ?? []);
  return {
    kind: tags.includes("template") ? "VM of an upload" : "VM of a build",
    run,
    doubt:
      run === undefined
        ? "it has our tags and an image's name, but nothing tells which run made it"
        : undefined,
    async busy(now, signal) {
      const fate = run === undefined ? "unknown" : (around.fateOfBuild?.(name, run) ?? "unknown");
      if (fate === "goes on") return "its build goes on";
      return fate === "ended" ? undefined : await business(around.api, now, signal, around.now());
    },
  };
}

/** Nothing on such a disk tells why nobody uses it: a person may have detached it to keep it. */
function unusedDisks({ api }: Surroundings, vm: VmDetails): Leftover[] {
  return Object.entries(vm.config)
    .filter(([slot]) => /^unused\d+$/.test(slot))
    .map(([slot, volume]) => ({
      kind: "unused disk",
      name: `${volume} (${slot} of ${shown(vm)})`,
      busy: undefined,
      doubt: "perhaps somebody has detached it to keep it",
      async remove(signal) {
        const config = await configNow(api, vm, signal);
        if (config?.[slot] !== volume || config.name !== vm.config.name)
          return `${slot} of VM ${vm.vmid} is not that disk any more`;
        // The node itself refuses once anything of the VM has changed.
        const digest = config.digest === undefined ? {} : { digest: config.digest };
        await api.change("PUT", `${vmPath(vm)}/config`, { delete: slot, ...digest }, signal);
        return undefined;
      },
    }));
}

function shown({ vmid, name }: VmDetails): string {
  return `VM ${vmid} (${name})`;
}
