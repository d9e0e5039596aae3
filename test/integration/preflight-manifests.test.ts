import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { byName, resultOf } from "../support/preflight-result.ts";
import { type WorkingCopy, workingCopies } from "../support/working-copy.ts";

/** Manifests of which something is broken that would keep their check from looking. */

const copyOfTree = workingCopies();

describe("the manifests alone", () => {
  const manifests = async (copy: WorkingCopy, flags: readonly string[] = [], env = {}) => {
    const ended = await copy.task("preflight", ["--json", "--only", "manifests", ...flags], env);
    return { exitCode: ended.exitCode, ...byName(resultOf(ended), "manifests") };
  };

  test("fail for what does not render, and for documents that are no objects", async () => {
    const copy = copyOfTree();
    writeFileSync(join(copy.root, "k8s/argo/kustomization.yaml"), "resources:\n  - nothing.yaml\n");
    const map = "kind: ConfigMap\nmetadata:\n  name: bare\ndata:\n  a: b\n";
    writeFileSync(join(copy.root, "k8s/clusters/home/apps/bare.yaml"), map);
    const { exitCode, findings } = await manifests(copy);
    assert.equal(exitCode, 1);
    const failed = findings.filter(({ state }) => state === "failed");
    assert.deepEqual(
      failed.map((finding) => finding.evidence),
      [
        "k8s/argo was not checked: it does not render",
        "k8s/clusters/home/apps/bare.yaml:1  no object of Kubernetes: apiVersion missing",
      ],
    );
    assert.ok(failed[0]?.fix.includes("$ npm run preflight -- --only kustomize/argo"));
  });

  test("are not checked in full without kustomize, and fail so with --strict", async () => {
    const copy = copyOfTree();
    // All that the machine has, but for that one, and nothing that could get it.
    const cache = mkdtempSync(join(tmpdir(), "homelab-preflight-test-"));
    try {
      const machine = copy.env().HOMELAB_CACHE ?? "";
      mkdirSync(join(cache, "tools"));
      for (const name of readdirSync(join(machine, "tools"))) {
        if (name !== "kustomize") symlinkSync(join(machine, "tools", name), join(cache, "tools", name));
      }
      const env = { HOMELAB_CACHE: cache, HOMELAB_TOOLS: "path" };
      const lax = await manifests(copy, [], env);
      assert.deepEqual([lax.exitCode, lax.state], [0, "unavailable"]);
      assert.match(
        lax.findings[0]?.evidence ?? "",
        /^Not checked as it is rendered: k8s\/argo, k8s\/clusters\/home, .*\nkustomize/,
      );
      const strict = await manifests(copy, ["--strict"], env);
      assert.deepEqual([strict.exitCode, strict.state], [1, "failed"]);
    } finally {
      rmSync(cache, { recursive: true, force: true });
    }
  });
});
