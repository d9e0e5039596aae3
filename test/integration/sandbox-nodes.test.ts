import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { kubernetesNodes } from "../../lib/k8s/index.ts";
import { type OwnCluster, startCluster } from "../support/cluster.ts";

/** The machines of the sandbox's one cluster, whichever environment they belong to. */

const dir = mkdtempSync(join(tmpdir(), "homelab-nodes-"));
let cluster: OwnCluster | undefined;

before(async () => {
  cluster = await startCluster(dir, "nodes");
});
after(async () => {
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

test("each has the k3s version of its own image, though kwok plays the kubelets", async () => {
  assert.ok(cluster !== undefined);
  const expected = [{ name: "k3s-s1", ready: true, version: "v1.35.6+k3s1" }];
  // Several, because kwok fills in what is missing as soon as it sees a node.
  for (let n = 2; n <= 9; n += 1) {
    const name = `k3s-s${n}`;
    const k3sVersion = `v1.3${n}.1+k3s1`;
    await cluster.join({ name, address: `10.23.45.${30 + n}`, cores: 2, memory: 2048, k3sVersion });
    expected.push({ name, ready: true, version: k3sVersion });
  }
  const deadline = Date.now() + 60_000;
  let found = await kubernetesNodes(cluster.kubectl);
  while (!found.every(({ ready }) => ready) && Date.now() < deadline) {
    found = await kubernetesNodes(cluster.kubectl);
  }
  assert.deepEqual(found, expected);
});
