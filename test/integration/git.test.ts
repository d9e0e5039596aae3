import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import { commitAll, isModified, readRemote } from "../../lib/git.ts";
import { makeLocalRepository } from "../../lib/k8s/local-repository.ts";
import {
  parseRepository,
  REPOSITORY_FILE,
  readRepository,
  writeRepository,
} from "../../lib/k8s/repository.ts";
import { run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";

let dir: string;
before(() => {
  dir = mkdtempSync(join(tmpdir(), "git-"));
});
after(() => rmSync(dir, { recursive: true, force: true }));

describe("a repository of the sandbox's own", () => {
  test("names itself, can be read, and gets a commit only when something is new", async () => {
    const folder = join(dir, "own");
    const address = await makeLocalRepository(ROOT, folder);
    const first = await readRemote(address.repoURL, address.targetRevision, REPOSITORY_FILE);
    assert.deepEqual(parseRepository(first.file ?? ""), address);
    await makeLocalRepository(ROOT, folder);
    const second = await readRemote(address.repoURL, address.targetRevision, REPOSITORY_FILE);
    assert.equal(second.commit, first.commit);
    assert.equal(await isModified(folder, REPOSITORY_FILE), false);
  });
});

test("the locks of a git that was killed are in nobody's way", async () => {
  const folder = join(dir, "locked");
  await run("mkdir", ["-p", folder]);
  writeFileSync(join(folder, "a"), "one");
  await commitAll(folder, "one");
  for (const name of ["index", "HEAD", "refs/heads/main"])
    writeFileSync(join(folder, ".git", `${name}.lock`), "");
  writeFileSync(join(folder, "a"), "two");
  await commitAll(folder, "two");
  assert.equal((await readRemote(`file://${folder}`, "main", "a")).file, "two");
});

describe("readRemote", () => {
  test("reads a file at a branch and at a tag; a missing file is none", async () => {
    const folder = join(dir, "tagged");
    await run("mkdir", ["-p", folder]);
    writeFileSync(join(folder, "a"), "one");
    await commitAll(folder, "one");
    await run("git", ["tag", "v1"], { cwd: folder });
    writeFileSync(join(folder, "a"), "two");
    assert.equal(await isModified(folder, "a"), true);
    await commitAll(folder, "two");
    const url = `file://${folder}`;
    assert.equal((await readRemote(url, "v1", "a")).file, "one");
    assert.equal((await readRemote(url, "HEAD", "a")).file, "two");
    assert.equal((await readRemote(url, "main", "b")).file, undefined);
  });

  test("a missing revision and a missing repository are told apart", async () => {
    const url = `file://${join(dir, "tagged")}`;
    await assert.rejects(readRemote(url, "v9", "a"), (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.equal(error.what, `${url} has no v9`);
      return true;
    });
    await assert.rejects(readRemote(`file://${dir}/none`, "HEAD", "a"), (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.match(error.what, /cannot be read/);
      assert.ok(error.todo.some((line) => line.startsWith("$ git ls-remote")));
      return true;
    });
  });

  test("a URL cannot become an option", async () => {
    await assert.rejects(readRemote("--upload-pack=touch /tmp/never", "HEAD", "a"), TaskError);
  });
});

describe("the repository file", () => {
  test("is written with its comments", async () => {
    const tree = join(dir, "tree");
    cpSync(join(ROOT, "k8s"), join(tree, "k8s"), { recursive: true });
    const before = readFileSync(join(tree, REPOSITORY_FILE), "utf8");
    const address = { repoURL: "https://git.example.org/me/homelab.git", targetRevision: "main" };
    await writeRepository(tree, address);
    assert.deepEqual(await readRepository(tree), address);
    const after = readFileSync(join(tree, REPOSITORY_FILE), "utf8");
    const comments = (text: string): string[] => text.split("\n").filter((line) => /^\s*#/.test(line));
    assert.deepEqual(comments(after), comments(before));
  });

  test("in another form is refused with the way to restore it", () => {
    assert.throws(
      () => parseRepository("data: {}\n"),
      (error: unknown) =>
        error instanceof TaskError && error.todo.includes(`$ git checkout -- ${REPOSITORY_FILE}`),
    );
  });
});
