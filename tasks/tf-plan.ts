import { defineCommand, main, type Step } from "../lib/task/index.ts";
import { describePlan, type Plan, type TofuSession } from "../lib/tofu/index.ts";
import {
  ENVIRONMENT_REQUIRES,
  ENVIRONMENT_USES,
  type EnvironmentDeps,
  type EnvironmentRequest,
  environmentDeps,
  environmentRequest,
  initSteps,
  keyDemand,
} from "./tf-init.ts";

/** Plan an environment, and change nothing. */
export function planSteps(
  request: EnvironmentRequest,
  deps: EnvironmentDeps,
  done: (plan: Plan) => void,
): Step[] {
  let session: TofuSession;
  return [
    ...initSteps(request, deps, (opened) => {
      session = opened;
    }),
    {
      title: `Plan ${request.environment}`,
      preview: () => [`tofu -chdir=terraform/envs/${request.environment} plan`],
      async run({ note }) {
        const { plan, warnings } = await (await session.tofu()).plan();
        warnings.forEach(note);
        session.close();
        done(plan);
      },
    },
  ];
}

/** A plan for machines: what happens to which resource, without the attributes' values. */
export function planData({ changes, outputs }: Plan): Record<string, unknown> {
  return {
    changes: changes.map(({ address, action, reason, before, after, attributes }) => ({
      address,
      action,
      reason: reason ?? null,
      vm: before?.name ?? after?.name ?? null,
      vmid: before?.vmid ?? after?.vmid ?? null,
      attributes: attributes.map(({ path }) => path),
    })),
    outputs,
  };
}

const command = defineCommand({
  name: "tf-plan",
  summary: "Show what tf-apply would change in an environment",
  requires: ENVIRONMENT_REQUIRES,
  uses: ENVIRONMENT_USES,
  demands: keyDemand,
  readOnly: true,
  async run(context) {
    const request = await environmentRequest(context.settings, context);
    await context.steps(
      planSteps(request, environmentDeps(context.settings), (plan) => {
        context.result(describePlan(plan).join("\n"), planData(plan));
      }),
    );
  },
});

await main(import.meta.url, command);
