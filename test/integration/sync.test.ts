import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { waitForSync } from "../../lib/k8s/index.ts";
import { Kubectl } from "../../lib/k8s/kubectl.ts";
import { writeProgram } from "../support/programs.ts";
import { refused } from "../support/refused.ts";

/**
 * Waiting for Argo CD, where its looks come too early: a stand-in for kubectl tells what it would say that looks only when it
 * is asked to.
 */

const dir = mkdtempSync(join(tmpdir(), "homelab-sync-"));
after(() => rmSync(dir, { recursive: true, force: true }));

const REPOSITORY = "https://git.example/homelab.git";
const COMMIT = "0123456789012345678901234567890123456789";

/** An Application as it is once Argo CD has looked `looks` times: before that, its project is not there. */
function kubectl(name: string, looks: number): { readonly kubectl: Kubectl; asked(): number } {
  const application = (status: unknown): string =>
    JSON.stringify({
      items: [{ metadata: { name: "app" }, spec: { source: { repoURL: REPOSITORY, path: "k8s" } }, status }],
    });
  const bad = application({
    sync: { status: "Unknown", revision: COMMIT },
    conditions: [{ type: "InvalidSpecError", message: "the project does not exist" }],
  });
  const good = application({ sync: { status: "Synced", revision: COMMIT }, health: { status: "Healthy" } });
  const log = join(dir, `${name}.log`);
  const program = writeProgram(
    dir,
    name,
    `touch ${log}
case "$*" in
  *annotate*refresh=normal*) echo asked >>${log} ;;
  *) if [ "$(wc -l <${log})" -ge ${looks} ]; then echo '${good}'; else echo '${bad}'; fi ;;
esac`,
  );
  return {
    kubectl: new Kubectl({ program, kubeconfig: join(dir, "config"), context: "test" }),
    asked: () => readFileSync(log, "utf8").split("\n").length - 1,
  };
}

const goal = {
  repoURL: REPOSITORY,
  commit: COMMIT,
  healthy: true,
  timeoutMs: 60_000,
  signal: new AbortController().signal,
};

test("an Application that had an error is looked at again and again, and may recover", async () => {
  const { kubectl: cluster, asked } = kubectl("recovers", 2);
  const { reached } = await waitForSync(cluster, goal);
  assert.equal(reached, true);
  assert.equal(asked(), 2);
});

test("one whose error lasts is told, with what Argo CD says", async () => {
  const { kubectl: cluster, asked } = kubectl("lasts", 1000);
  const { what, why } = await refused(waitForSync(cluster, goal));
  assert.equal(what, "Argo CD cannot sync the Application app");
  assert.equal(why, "InvalidSpecError: the project does not exist");
  assert.ok(asked() >= 3, `${asked()} looks`);
});
