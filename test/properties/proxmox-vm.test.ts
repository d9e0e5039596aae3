import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { notices } from "../support/properties/mutation.ts";
import { REPEAT, RUNS, SEED } from "../support/properties/seed.ts";
import { CHECKS, type Outcome } from "../support/properties/vm-checks.ts";
import { type Call, deploy } from "../support/properties/vm-deployment.ts";
import { generateVms, type VmInput } from "../support/properties/vm-inputs.ts";
import { VM_MUTATIONS } from "../support/properties/vm-mutations.ts";
import { PropertyNode } from "../support/properties/vm-node.ts";

/**
 * The properties of VMs. OpenTofu applies the environment k3s-single, and the module in it, with more than a hundred
 * generated inputs to an embedded node; what each VM is, the node's API tells. Broken copies of both are applied beside it.
 */

const dir = mkdtempSync(join(tmpdir(), "homelab-vm-properties-"));
/** An environment is called as its folder is. */
const [environmentName = ""] = fc.sample(fc.stringMatching(/^[a-z][a-z0-9-]{0,18}[a-z0-9]$/), {
  numRuns: 1,
  seed: SEED,
});

let node: PropertyNode;
let outcomes: readonly Outcome[] = [];
let broken: ReadonlyMap<string, readonly Outcome[]> = new Map();

const idOf = (mutation: number): string => `mutation_${mutation}`;

before(async () => {
  node = await PropertyNode.start(join(dir, "node"));
  const inputs = generateVms(RUNS, node.places);
  const mutants = VM_MUTATIONS.map(
    ({ what, mutate }, at): Call => ({ id: idOf(at), what, mutate, inputs: twoOf(inputs, idOf(at)) }),
  );
  const control: Call = { id: "control", what: "module", inputs: twoOf(inputs, "control") };
  const [whole, others] = await Promise.all([
    deploy(node, join(dir, "whole"), environmentName, [{ id: "generated", what: "environment", inputs }]),
    deploy(node, join(dir, "broken"), environmentName, [control, ...mutants]),
  ]);
  outcomes = whole.get("generated") ?? [];
  broken = others;
});

after(async () => {
  await node?.sandbox.stop();
  rmSync(dir, { recursive: true, force: true });
});

/** Two of the inputs that differ in everything a mutation could hide behind, with names of their own. */
function twoOf(inputs: readonly VmInput[], prefix: string): VmInput[] {
  const isOdd = ({ bridge, ssh_pubkey }: VmInput): boolean =>
    bridge !== "vmbr0" && / /.test(ssh_pubkey.slice(12));
  const first = inputs.find((input) => isOdd(input) && input.user_data !== "");
  const second = inputs.find(
    (input) => isOdd(input) && input.user_data === "" && input.template !== first?.template,
  );
  assert.ok(first && second, `no such inputs among the generated ones ${REPEAT}`);
  return [first, second].map((input, at) => ({ ...input, name: `${prefix.replace("_", "-")}-${at}` }));
}

const TITLES = {
  2: "VM cloning from specified template",
  3: "Cloud-init configuration completeness",
  4: "Infrastructure provisioner output completeness",
  5: "Proxmox VM disk configuration",
  6: "Proxmox VM network configuration",
  7: "Cloud-init user-data conditional configuration",
  8: "Module output presence",
} as const satisfies Record<keyof typeof CHECKS, string>;

for (const property of [2, 3, 4, 5, 6, 7, 8] as const) {
  test(`Feature: homelab-infra, Property ${property}: ${TITLES[property]}`, () => {
    assert.ok(outcomes.length >= 100, `only ${outcomes.length} VMs`);
    assert.deepEqual(CHECKS[property](outcomes), [], REPEAT);
  });
}

for (const [at, { property, title }] of VM_MUTATIONS.entries()) {
  notices(property, title, () => CHECKS[property](broken.get(idOf(at)) ?? []));
}

test("the copies that are broken are right before they are broken", () => {
  const control = broken.get("control") ?? [];
  assert.equal(control.length, 2);
  for (const property of [2, 3, 5, 6, 7, 8] as const) assert.deepEqual(CHECKS[property](control), [], REPEAT);
});
