import { messageOf, TaskError, UsageError } from "../lib/errors.ts";
import { alone, defineCommand, main, type Step } from "../lib/task/index.ts";
import {
  describePlan,
  describeProgress,
  type SavedPlan,
  type Tofu,
  type TofuEvent,
  type TofuSession,
  titleOf,
} from "../lib/tofu/index.ts";
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

export interface DestroyRequest extends EnvironmentRequest {
  /** The environment was named for destruction already; otherwise its name has to be typed. */
  readonly confirmed?: boolean;
  /** Receives what is gone, one line a resource. */
  readonly done?: (gone: readonly string[]) => void;
}

export interface DestroyDeps extends EnvironmentDeps {
  /** Which of some VMs the API's token may not see. */
  hidden?(vmids: readonly number[], signal: AbortSignal): Promise<readonly number[]>;
}

/** Remove everything an environment consists of, once it is clear what that is. */
export function destroySteps(request: DestroyRequest, deps: DestroyDeps): Step[] {
  const { environment, confirmed = false, done } = request;
  let session: TofuSession;
  let saved: SavedPlan;
  const nothingToDo = (): string | false => saved.plan.changes.length === 0 && "there is nothing to remove";
  return [
    ...initSteps(request, deps, (opened) => {
      session = opened;
    }),
    {
      title: `Find out what ${environment} consists of`,
      preview: () => [`tofu -chdir=terraform/envs/${environment} plan -destroy -out=PLAN`],
      async run({ note, signal }) {
        const tofu = await session.tofu();
        saved = await tofu.plan({ destroy: true });
        const { plan, warnings } = saved;
        // What the token may not see OpenTofu takes for gone, and would forget: the VM would stay for ever.
        const planned = plan.changes.map(({ address }) => address);
        const absent = (await tofu.managed()).filter(({ address }) => !planned.includes(address));
        const hidden = await deps.hidden?.(
          absent.map(({ vmid }) => vmid),
          signal,
        );
        if (hidden !== undefined && hidden.length > 0) throw notSeen(environment, hidden);
        warnings.forEach(note);
        if (plan.changes.length > 0) note(describePlan(plan).join("\n"));
      },
    },
    {
      title: "Ask for the environment's name",
      skip: () => nothingToDo() || (confirmed && "it was named with --env and --yes"),
      async run({ typed }) {
        if (await typed(`All of this will be gone. Type ${environment} to destroy it`, environment)) return;
        throw new TaskError({
          what: "Not destroyed: what was typed is not the environment's name",
          left: ["Nothing was changed"],
        });
      },
    },
    {
      title: `Destroy ${environment}`,
      preview: () => [`tofu -chdir=terraform/envs/${environment} apply PLAN`],
      async run(control) {
        // Also without resources: outputs go from the state.
        const tofu = await session.tofu();
        const progress = (event: TofuEvent): void => {
          const line = describeProgress(saved.plan, event);
          if (line !== undefined) control.output(line);
        };
        const warnings = await tofu.apply(saved, progress).catch(async (error: unknown) => {
          if (!(error instanceof TaskError)) throw error;
          throw error.withLeft(await stillThere(tofu));
        });
        warnings.forEach(control.note);
        session.close();
        done?.(saved.plan.changes.map(titleOf));
      },
    },
  ];
}

/** What a removal that failed has left. */
async function stillThere(tofu: Pick<Tofu, "managed">): Promise<string[]> {
  try {
    const vms = await tofu.managed();
    if (vms.length === 0) return ["The state knows no VM any more"];
    return vms.map(
      ({ vmid, name }) => `VM ${vmid} (${name}) is still in the state; it may have been switched off`,
    );
  } catch (error) {
    return [`What is left could not be found out: ${messageOf(error)}`];
  }
}

function notSeen(environment: string, vmids: readonly number[]): TaskError {
  const paths = vmids.map((vmid) => `/vms/${vmid}`).join(", ");
  return new TaskError({
    what: `${environment} is not destroyed: the API's token may not see its VMs`,
    why: `It lacks VM.Audit on ${paths}; without it OpenTofu takes them for gone`,
    todo: [`Give the token VM.Audit on /vms, or let the node be made ready anew:`, "$ npm run pve-init"],
    left: ["Nothing was changed"],
  });
}

/** What destroying needs from outside of OpenTofu, from settings. */
function destroyDeps(settings: EnvironmentSettings): DestroyDeps {
  return {
    ...environmentDeps(settings),
    async hidden(vmids, signal) {
      if (vmids.length === 0) return [];
      const { apiFrom, hiddenVms } = await import("../lib/proxmox/index.ts");
      const api = apiFrom(settings);
      return await hiddenVms(api, vmids, signal).finally(() => api.close());
    },
  };
}

const command = defineCommand({
  name: "tf-destroy",
  summary: "Destroy an environment's VMs; without a terminal give both --env NAME and --yes",
  requires: ENVIRONMENT_REQUIRES,
  uses: ENVIRONMENT_USES,
  demands: keyDemand,
  async run(context) {
    const { flags, settings } = context;
    // --yes alone answers questions; which environment is to be destroyed has to be said in as many words.
    if (flags.yes && flags.env === undefined) {
      throw new UsageError({
        what: `--yes alone does not destroy ${settings.ENV}`,
        why: "The environment has to be named on the command line, or its name typed when asked",
        todo: [`$ npm run tf-destroy -- --env ${settings.ENV} --yes`],
      });
    }
    const request: DestroyRequest = {
      ...(await environmentRequest(settings, context)),
      confirmed: flags.yes,
      done: (gone) =>
        context.result(
          gone.length === 0
            ? "There was nothing to destroy"
            : gone.map((each) => `destroyed ${each}`).join("\n"),
          { destroyed: gone },
        ),
    };
    await alone(
      context,
      settings.ENV,
      async () => await context.steps(destroySteps(request, destroyDeps(settings))),
    );
  },
});

await main(import.meta.url, command);
