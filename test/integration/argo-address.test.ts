import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { TaskError, UsageError } from "../../lib/errors.ts";
import { commitAll } from "../../lib/git.ts";
import { readRepository, writeRepository } from "../../lib/k8s/repository.ts";
import type { Reporter } from "../../lib/task/index.ts";
import { ROOT } from "../../lib/task/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import { type RepositoryRequest, repositorySteps } from "../../tasks/argo/repository.ts";

/** The part of `argo` that looks at the repository, before it touches a cluster. */

let dir: string;
let tree: string;
let notes: string[];
let fork: string;

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "argo-address-"));
  tree = join(dir, "tree");
  cpSync(join(ROOT, "k8s"), join(tree, "k8s"), { recursive: true });
  await commitAll(tree, "as it comes");
  fork = `file://${tree}`;
});
after(() => rmSync(dir, { recursive: true, force: true }));
beforeEach(async () => {
  notes = [];
  await writeRepository(tree, { repoURL: "https://github.com/CHANGEME/homelab.git", targetRevision: "HEAD" });
});

async function look(request: Partial<RepositoryRequest>, yes = true): Promise<void> {
  const kustomize = (): never => assert.fail("a person's own repository is not rendered");
  const steps = repositorySteps({ root: tree, targetRevision: "HEAD", ...request }, { kustomize });
  const reporter: Reporter = {
    drawsList: false,
    step: () => {},
    output: () => {},
    note: (line) => notes.push(line),
  };
  await runSteps(steps, { reporter, signal: new AbortController().signal, yes });
}

describe("the repository's address", () => {
  test("is asked for when neither the settings nor the file have one", async () => {
    await assert.rejects(look({}), (error: unknown) => {
      assert.ok(error instanceof UsageError);
      assert.equal(error.what, "GIT_REPO_URL is missing");
      assert.ok(error.todo.some((line) => line.includes("GIT_REPO_URL=https://")));
      return true;
    });
  });

  test("is written into the file when the person agrees, with a word on committing it", async () => {
    await look({ repoURL: fork });
    assert.deepEqual(await readRepository(tree), { repoURL: fork, targetRevision: "HEAD" });
    assert.match(notes.join("\n"), /names file:\/\/.* now; commit and push it/);
    // What is pushed still has the old one.
    assert.match(notes.join("\n"), /In Git, .* still has https:\/\/github\.com\/CHANGEME\/homelab\.git/);
    assert.match(notes.join("\n"), /git commit -m/);
  });

  test("is not written without an answer", async () => {
    await assert.rejects(look({ repoURL: fork }, false), UsageError);
    assert.match((await readRepository(tree)).repoURL, /CHANGEME/);
  });

  test("that is pushed already is good without a word", async () => {
    await look({ repoURL: fork });
    await commitAll(tree, "our address");
    notes = [];
    await look({ repoURL: fork });
    assert.deepEqual(notes, []);
  });

  test("of a repository that cannot be read is refused", async () => {
    await assert.rejects(look({ repoURL: `file://${dir}/none` }), (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.match(error.what, /cannot be read/);
      return true;
    });
  });

  test("of a repository that is none of ours is refused with the way to push", async () => {
    const other = join(dir, "other");
    cpSync(join(ROOT, "LICENSE"), join(other, "LICENSE"));
    await commitAll(other, "something else");
    await assert.rejects(look({ repoURL: `file://${other}` }), (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.match(error.what, /is not a copy of this repository/);
      assert.ok(error.todo.some((line) => line.startsWith("$ git push")));
      return true;
    });
  });
});
