import * as v from "valibot";
import { TaskError } from "../errors.ts";

/** Words of commands and of names of files: a state may come from a backend that others write to. */
const name = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][\w.-]*$/));
const schema = v.object({
  vm_id: v.pipe(v.number(), v.integer(), v.minValue(1)),
  vm_name: name,
  node: name,
  ip_address: v.pipe(
    v.string(),
    v.transform((text) => text.split("/")[0] ?? ""),
    v.ip(),
  ),
  ci_user: v.pipe(v.string(), v.regex(/^[a-z_][a-z0-9_-]*$/)),
  kubectl_context: name,
});

/** What an environment came to, as its outputs say. */
export interface EnvironmentOutputs {
  readonly vmid: number;
  readonly name: string;
  /** Of Proxmox. */
  readonly node: string;
  /** Without prefix length. */
  readonly address: string;
  readonly user: string;
  readonly context: string;
}

/**
 * Parse an environment's outputs.
 * @param environment its name, for the error
 * @throws {TaskError} when it was not applied yet, or its outputs are not those of the environments here
 */
export function parseOutputs(
  outputs: Readonly<Record<string, unknown>>,
  environment: string,
): EnvironmentOutputs {
  const parsed = v.safeParse(schema, outputs);
  if (parsed.success) {
    const {
      vm_id: vmid,
      vm_name: name,
      node,
      ip_address: address,
      ci_user: user,
      kubectl_context: context,
    } = parsed.output;
    return { vmid, name, node, address, user, context };
  }
  const applied = Object.keys(outputs).length > 0;
  throw new TaskError({
    what: applied ? `The outputs of ${environment} are not complete` : `${environment} has no VMs yet`,
    why: applied
      ? parsed.issues.map((issue) => `${v.getDotPath(issue) ?? "it"}: ${issue.message}`).join("\n")
      : "Its state is empty",
    todo: ["Make it what its configuration says:", `$ npm run tf-apply -- --env ${environment}`],
  });
}
