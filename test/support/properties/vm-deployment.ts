import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../../lib/task/index.ts";
import { Tofu } from "../../../lib/tofu/index.ts";
import { tofuTools } from "../tofu.ts";
import type { Outcome } from "./vm-checks.ts";
import type { VmInput } from "./vm-inputs.ts";
import type { PropertyNode } from "./vm-node.ts";

/** The VM module, or the environment k3s-single around it, called many times by one configuration. */
export interface Call {
  /** What the call is named in HCL. */
  readonly id: string;
  readonly what: "module" | "environment";
  readonly inputs: readonly VmInput[];
  /** Changes the files of the copy that is called. */
  readonly mutate?: (edit: Edit) => void;
}

/** Replace the text of one file, for example "modules/proxmox-vm/main.tf". */
export type Edit = (path: string, change: (text: string) => string) => void;

const API = ["pm_api_url", "pm_api_token_id", "pm_api_token_secret"];
const INPUTS = [
  "name",
  "template",
  "node",
  "storage",
  "bridge",
  "cores",
  "memory",
  "disk_size",
  "ci_user",
  "ssh_pubkey",
  "ip",
  "gateway",
  "nameserver",
  "user_data",
] as const satisfies readonly (keyof VmInput)[];

/**
 * Apply a configuration that makes all these calls, with the real OpenTofu and provider, and look at what came of it.
 * @param folder for the configuration; must not be there
 * @param environmentName what the configuration's own folder, and so the environment, is called
 * @returns the outcomes of each call by its id, in the order of its inputs
 */
export async function deploy(
  node: PropertyNode,
  folder: string,
  environmentName: string,
  calls: readonly Call[],
): Promise<ReadonlyMap<string, readonly Outcome[]>> {
  const directory = join(folder, "envs", environmentName);
  mkdirSync(directory, { recursive: true });
  const blocks = calls.map((call) => prepare(folder, directory, call));
  writeFileSync(join(directory, "main.tf"), blocks.join("\n"));
  for (const file of ["provider.tf", "versions.tf"]) {
    cpSync(join(ROOT, "terraform", "envs", "k3s-single", file), join(directory, file));
  }
  writeFileSync(
    join(directory, "variables.tf"),
    [
      ...API.map((name) => `variable "${name}" {}`),
      'variable "pm_tls_insecure" {\n  default = false\n}',
    ].join("\n"),
  );
  const outputs = await apply(node, directory);
  const vms = await node.vms();
  return new Map(
    calls.map(({ id, what, inputs }) => [
      id,
      inputs.map((input, at): Outcome => {
        const told = recordIn(recordIn(outputs[id])[at]);
        return {
          input,
          vms: vms.get(input.name) ?? [],
          templates: node.templates,
          environmentName,
          ...(what === "module"
            ? { module: told, environment: {} }
            : { module: recordIn(told.module), environment: told }),
        };
      }),
    ]),
  );
}

/** Copy what is called, break it if it is to be broken, and write the call. */
function prepare(folder: string, directory: string, { id, what, inputs, mutate }: Call): string {
  const tree = join(folder, "calls", id);
  cpSync(join(ROOT, "terraform"), tree, {
    recursive: true,
    filter: (path) => !/\.terraform|\.tfstate|\.tfvars$/.test(path),
  });
  const environment = join(tree, "envs", "k3s-single");
  // A module that is called many times cannot bring its own provider.
  rmSync(join(environment, "provider.tf"));
  // What the module tells, beside what the environment makes of it.
  writeFileSync(join(environment, "all-of-the-module.tf"), 'output "module" {\n  value = module.server\n}\n');
  mutate?.((path, change) => {
    const file = join(tree, path);
    writeFileSync(file, change(readFileSync(file, "utf8")));
  });
  writeFileSync(join(directory, `${id}.json`), JSON.stringify(inputs));
  const passed = [
    ...INPUTS.map((name) => `  ${name} = each.value.${name}`),
    ...(what === "module" ? [] : API.map((name) => `  ${name} = var.${name}`)),
  ];
  return `
module "${id}" {
  source   = "../../calls/${id}/${what === "module" ? "modules/proxmox-vm" : "envs/k3s-single"}"
  for_each = { for at, vm in jsondecode(file("\${path.root}/${id}.json")) : at => vm }
  started  = false
${passed.join("\n")}
}
output "${id}" {
  value = module.${id}
}
`;
}

async function apply(
  { sandbox }: PropertyNode,
  directory: string,
): Promise<Readonly<Record<string, unknown>>> {
  const { apiUrl, caFile, tokenId, tokenSecret } = sandbox.endpoints;
  const tofu = await Tofu.open({
    ...(await tofuTools()),
    directory,
    variables: { pm_api_url: apiUrl, pm_api_token_id: tokenId },
    secrets: { pm_api_token_secret: tokenSecret },
    trusted: readFileSync(caFile, "utf8"),
  });
  try {
    await tofu.init();
    await tofu.apply(await tofu.plan());
    return await tofu.outputs();
  } finally {
    tofu.close();
  }
}

function recordIn(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
