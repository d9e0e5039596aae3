import { InterruptedError, TaskError, UsageError } from "../lib/errors.ts";
import { answering } from "../lib/ping.ts";
import { alone, defineCommand, main, type Step, type StepControl } from "../lib/task/index.ts";
import {
  addressesToClaim,
  describePlan,
  describeProgress,
  type Guest,
  Journal,
  leftovers,
  lossesIn,
  type NodePlaces,
  nameOf,
  needsGuests,
  type PlannedVm,
  refuseConflicts,
  refuseLosses,
  refuseMissingPlaces,
  refuseShrinking,
  type SavedPlan,
  type Tofu,
  type TofuSession,
} from "../lib/tofu/index.ts";
import { halfMadeStep } from "./environment/half-made.ts";
import {
  ENVIRONMENT_REQUIRES,
  ENVIRONMENT_USES,
  type EnvironmentDeps,
  type EnvironmentRequest,
  type EnvironmentSettings,
  environmentDeps,
  environmentRequest,
  initSteps,
  keyDemand,
} from "./tf-init.ts";

export interface ApplyRequest extends EnvironmentRequest {
  /** Names of VMs that the plan may replace or destroy. */
  readonly allowReplace?: readonly string[];
  /** Names of VMs to make anew although nothing forces it: how a VM moves to a new image. */
  readonly replace?: readonly string[];
  /** Receives what the environment came to. */
  readonly done?: (result: ApplyResult) => void;
}

export interface ApplyResult {
  /** False when everything was as configured before. */
  readonly changed: boolean;
  /** vm_id, ip_address, kubectl_context, … */
  readonly outputs: Readonly<Record<string, unknown>>;
}

/** The checks against Proxmox and the network, and the power switch. */
export interface ApplyDeps extends EnvironmentDeps {
  /** Every VM and template of the cluster. */
  guests(signal: AbortSignal): Promise<readonly Guest[]>;
  /** What a node has; left out, nothing is checked against it. */
  places?(node: string, signal: AbortSignal): Promise<NodePlaces>;
  /** Which of these addresses answer on the network; left out where the VMs' network is not ours. */
  answering?(addresses: readonly string[], signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** Whether a node clones something now. */
  cloning?(node: string, signal: AbortSignal): Promise<boolean>;
  /** Removes a VM with its disks. */
  remove?(guest: Guest, signal: AbortSignal): Promise<void>;
  /** Shuts a VM down; resolves to what starts it again, or to undefined when it was off. */
  shutDown?(vm: PlannedVm, control: StepControl): Promise<(() => Promise<void>) | undefined>;
}

const ENCRYPTED =
  "The state is encrypted from now on. Copies from before stay as they are, terraform.tfstate.backup in the environment's folder among them: remove what you do not need";

/** Make an environment what its configuration says. The second time there is nothing to do. */
export function applySteps(request: ApplyRequest, deps: ApplyDeps): Step[] {
  const { environment, allowReplace = [], replace = [], done } = request;
  const mayGo = [...allowReplace, ...replace];
  let session: TofuSession;
  let saved: SavedPlan;
  /** Addresses of resources of which the new one is there. */
  const made = new Set<string>();

  const journal = request.journal === undefined ? undefined : new Journal(request.journal);
  const nothingToDo = (): string | false => saved.plan.changes.length === 0 && "nothing changes";

  return [
    ...initSteps(request, deps, (opened) => {
      session = opened;
    }),
    {
      title: `Plan ${environment}`,
      preview: () => [`tofu -chdir=terraform/envs/${environment} plan -out=PLAN`],
      async run(control) {
        saved = await planFor(await session.tofu(), request);
        saved.warnings.forEach(control.note);
        control.note(describePlan(saved.plan).join("\n"));
        const onSandbox = request.stateDir === undefined ? "" : " --sandbox";
        refuseLosses(saved.plan, mayGo, `npm run tf-apply --${onSandbox} --env ${environment}`);
      },
    },
    halfMadeStep(
      () => saved.plan,
      () => journal?.begun() ?? [],
      deps,
    ),
    {
      title: "Check that names and addresses are free, storages and bridges there",
      skip: () => !needsGuests(saved.plan) && "no VM is made or changed",
      async run({ signal }) {
        const { plan } = saved;
        const guests = await deps.guests(signal);
        refuseShrinking(plan, guests);
        const { places } = deps;
        if (places !== undefined) await refuseMissingPlaces(plan, (node) => places(node, signal));
        refuseConflicts(plan, guests);
        const claimed = addressesToClaim(plan);
        if (claimed.length === 0 || deps.answering === undefined) return;
        refuseConflicts(plan, guests, await deps.answering(claimed, signal));
      },
    },
    {
      title: "Ask whether to go on",
      skip: nothingToDo,
      async run({ confirm }) {
        if (await confirm(`Apply this to ${environment}?`)) return;
        throw new TaskError({ what: "Not applied: the answer was no", left: ["Nothing was changed"] });
      },
    },
    {
      title: "Shut down what is replaced",
      // Until the new VM is ready the old one exists: two running twins would share name and address.
      skip: () =>
        (deps.shutDown === undefined || !lossesIn(saved.plan).some(({ action }) => action === "replace")) &&
        "nothing is replaced",
      async run(control) {
        for (const { action, address, before } of saved.plan.changes) {
          if (action !== "replace" || before === undefined) continue;
          control.output(`${before.name} (${before.vmid})`);
          const startAgain = await deps.shutDown?.(before, control);
          if (startAgain === undefined) continue;
          control.undo(`VM ${before.name} (${before.vmid}) started again`, async () => {
            if (made.has(address))
              throw new Error("the new VM exists already, and both have the same address");
            await startAgain();
          });
        }
      },
    },
    {
      title: `Apply the plan to ${environment}`,
      skip: () =>
        saved.plan.changes.length + saved.plan.outputs.length === 0 &&
        !session.encryptsState &&
        "everything is as configured",
      preview: () => [`tofu -chdir=terraform/envs/${environment} apply PLAN`],
      async run(control) {
        const tofu = await session.tofu();
        const { plan } = saved;
        const patience = (): void =>
          control.note("Interrupted: OpenTofu ends what it has begun and writes its state, please wait");
        control.signal.addEventListener("abort", patience, { once: true });
        if (plan.changes.some(({ action }) => action === "create" || action === "replace"))
          journal?.begin((await deps.guests(control.signal)).map(({ vmid }) => vmid));
        try {
          const warnings = await tofu.apply(saved, (event) => {
            const line = describeProgress(plan, event);
            if (line !== undefined) control.output(line);
            if (event.kind === "resource" && event.action === "create" && event.state === "done") {
              made.add(event.address);
            }
          });
          warnings.forEach(control.note);
          if (session.encryptsState) control.note(ENCRYPTED);
        } catch (error) {
          const failure = control.signal.aborted ? new InterruptedError() : error;
          if (!(failure instanceof TaskError)) throw failure;
          throw failure.withLeft(await leftovers(plan, tofu, () => deps.guests(AbortSignal.timeout(10_000))));
        } finally {
          control.signal.removeEventListener("abort", patience);
        }
      },
    },
    {
      title: "Read the outputs",
      async run() {
        const outputs = await (await session.tofu()).outputs();
        session.close();
        // Also where a killed run's OpenTofu has come to its end by itself: the state knows all that was begun.
        journal?.end();
        done?.({ changed: saved.plan.changes.length > 0, outputs });
      },
    },
  ];
}

/**
 * Plan, and plan again where a VM is to be made anew: only a replacement that was asked for takes the template the
 * configuration names, any other one would take the template of the VM it replaces.
 */
async function planFor(tofu: Tofu, { allowReplace = [], replace = [] }: ApplyRequest): Promise<SavedPlan> {
  const first = await tofu.plan();
  const { resources } = first.plan;
  const unknown = replace.filter((name) => !resources.some((resource) => resource.before?.name === name));
  if (unknown.length > 0) {
    throw new UsageError({
      what: `There is no VM ${unknown.join(", ")} to replace in this environment`,
      why: `Its VMs are ${resources.flatMap(({ before }) => before?.name ?? []).join(", ") || "none yet"}`,
      todo: ["Leave --replace out, or name one of them"],
    });
  }
  const anew = resources.filter(
    (resource) =>
      replace.includes(nameOf(resource)) ||
      (resource.action === "replace" && allowReplace.includes(nameOf(resource))),
  );
  return anew.length === 0 ? first : await tofu.plan({ replace: anew.map(({ address }) => address) });
}

/** The checks against the node's API and, where the VMs' network is ours, against the network itself. */
export function applyDeps(settings: EnvironmentSettings): ApplyDeps {
  return {
    ...environmentDeps(settings),
    async guests(signal) {
      const { apiFrom, inventory } = await import("../lib/proxmox/index.ts");
      return await inventory(apiFrom(settings), signal);
    },
    async places(node, signal) {
      const { apiFrom, places } = await import("../lib/proxmox/index.ts");
      return await places(apiFrom(settings), node, signal);
    },
    // Behind a jump host the VMs' addresses mean nothing here.
    ...(settings.CLUSTER_ACCESS === "jump" ? {} : { answering }),
    async cloning(node, signal) {
      const { apiFrom, isCloning } = await import("../lib/proxmox/index.ts");
      return await isCloning(apiFrom(settings), node, signal);
    },
    async remove({ node, vmid }, signal) {
      const { apiFrom, removeVm } = await import("../lib/proxmox/index.ts");
      await removeVm(apiFrom(settings), { node, vmid }, signal);
    },
    async shutDown({ node, vmid }, { signal }) {
      if (vmid === undefined) return undefined;
      const { apiFrom, shutDown } = await import("../lib/proxmox/index.ts");
      return await shutDown(apiFrom(settings), { node, vmid }, signal);
    },
  };
}

const command = defineCommand({
  name: "tf-apply",
  summary: "Make an environment's VMs what the configuration says",
  flags: {
    "allow-replace": {
      type: "string",
      multiple: true,
      value: "NAME",
      about: "let the plan replace or destroy the VM of that name, with all that is on its disk",
    },
    replace: {
      type: "string",
      multiple: true,
      value: "NAME",
      about: "make the VM of that name anew, from the template the settings name; its disk is lost",
    },
  },
  requires: ENVIRONMENT_REQUIRES,
  uses: ENVIRONMENT_USES,
  demands: keyDemand,
  async run(context) {
    const { flags, settings } = context;
    const request: ApplyRequest = {
      ...(await environmentRequest(settings, context)),
      allowReplace: flags.allowReplace,
      replace: flags.replace,
      done: ({ changed, outputs }) => {
        const lines = Object.entries(outputs).map(([name, value]) => `${name} = ${String(value)}`);
        if (!changed) lines.unshift("Nothing changed: everything is as configured");
        context.result(lines.join("\n"), { changed, outputs });
      },
    };
    await alone(
      context,
      settings.ENV,
      async () => await context.steps(applySteps(request, applyDeps(settings))),
    );
  },
});

await main(import.meta.url, command);
