import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { start } from "../../lib/process.ts";
import { isRunning } from "../../lib/sandbox/index.ts";
import { pins } from "../../lib/toolchain/index.ts";
import { gitOpsTools } from "../support/gitops.ts";
import { eventsOf, WorkingCopy } from "../support/working-copy.ts";

/** Why Argo CD syncs nothing here; false where it does. */
const syncsNothing = await gitOpsTools();
const copy = new WorkingCopy();
const dir = join(copy.root, ".homelab", "demo");
after(async () => {
  await copy.task("demo", ["--end"]);
  copy.remove();
});

/** What a shell may carry around; none of it may matter to the demo. */
const HOSTILE = {
  PM_API_URL: "https://elsewhere.example.org:8006/api2/json",
  PM_API_TOKEN_SECRET: "nonsense",
  PM_NODE: "other",
  CLUSTER_ACCESS: "nonsense",
  GIT_REPO_URL: "nonsense",
  KUBECONFIG: "/does/not/exist",
  TF_CLI_CONFIG_FILE: "/does/not/exist",
  TF_CLI_ARGS: "-nonsense",
  TF_VAR_name: "hijacked",
  HTTPS_PROXY: "http://127.0.0.1:9",
  SSL_CERT_FILE: "/does/not/exist",
};

describe("demo", () => {
  test("walks the whole way without any settings and leaves nothing", async () => {
    const result = await copy.task("demo", ["--json"], HOSTILE);
    assert.equal(result.exitCode, 0, result.stderr);
    const events = eventsOf(result);
    assert.ok(events.every(({ event }) => ["step", "note", "result"].includes(event)));
    const last = events.at(-1);
    assert.ok(last?.event === "result" && last.ok);
    const { nodes, argocd, applications } = last.status as {
      nodes: unknown;
      argocd: { namespace: string; version: string; controllers?: string };
      applications: { name: string; sync?: string; health?: string }[];
    };
    assert.deepEqual(nodes, [{ name: "k3s-s1", ready: true, version: "v1.35.6+k3s1" }]);
    assert.deepEqual([argocd.namespace, argocd.version], ["argocd", pins.argocd.version]);
    assert.equal(argocd.controllers !== undefined, syncsNothing === false);
    assert.deepEqual(
      applications.map(({ name, sync, health }) => [name, sync, health]),
      syncsNothing === false
        ? [
            ["app-of-apps", "Synced", "Healthy"],
            ["phpipam", "Synced", "Healthy"],
          ]
        : [["app-of-apps", undefined, undefined]],
    );
    assert.equal(existsSync(dir), false);
    assert.equal(existsSync(join(copy.home, ".kube", "config")), false);
    assert.equal(existsSync(join(copy.root, "terraform", "envs", "k3s-single", ".terraform")), false);
  });

  test("Ctrl-C ends the sandbox and what runs in it, with 130", async () => {
    const child = start(process.execPath, ["--import", "tsx", "tasks/demo.ts"], {
      cwd: copy.root,
      env: copy.env(),
    });
    child.stdin.end();
    let told = "";
    await new Promise<void>((resolve) => {
      child.stderr.on("data", (text: Buffer) => {
        told += text.toString();
        if (told.includes("Wait for cloud-init")) resolve();
      });
      void child.then(() => resolve());
    });
    process.kill(child.pid ?? 0, "SIGINT");
    const { exitCode, stderr } = await child;
    assert.equal(exitCode, 130, stderr);
    assert.match(stderr, /✖ Interrupted/);
    assert.equal(isRunning(dir), false);
  });

  test("--keep leaves it running for the other commands, --end removes it", async () => {
    const kept = await copy.task("demo", ["--keep"]);
    assert.equal(kept.exitCode, 0, kept.stderr);
    assert.match(kept.stdout, /\$ npm run status -- --sandbox/);
    assert.equal(isRunning(dir), true);
    const again = await copy.task("demo", []);
    assert.equal(again.exitCode, 1);
    assert.match(again.stderr, /A demo that was kept is still running[\s\S]*\$ npm run demo -- --end/);
    const status = await copy.task("status", ["--sandbox"]);
    assert.match(status.stdout, /^Cluster +k3s-s1 {2}Ready/m);
    const ended = await copy.task("demo", ["--end"]);
    assert.equal(ended.exitCode, 0, ended.stderr);
    assert.equal(isRunning(dir), false);
    assert.equal(existsSync(dir), false);
  });
});
