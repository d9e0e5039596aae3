import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { removeWorkFolder } from "../../lib/sandbox/gitops/work-folder.ts";

const base = mkdtempSync(join(tmpdir(), "homelab-work-"));
after(() => rmSync(base, { recursive: true, force: true }));

/** Permissions bind everybody but root, who therefore tries as somebody else. */
const NOBODY = 65534;
const asRoot = process.getuid?.() === 0;
const who = asRoot ? { uid: NOBODY, gid: NOBODY } : {};

test("clones whose permissions the repo server has taken away are removed all the same", () => {
  chmodSync(base, 0o777);
  const work = join(base, "work");
  const clones = join(work, "_argocd-repo");
  const clone = join(clones, "3f0e");
  mkdirSync(clone, { recursive: true });
  writeFileSync(join(clone, "HEAD"), "ref: refs/heads/main\n");
  for (const path of [join(clone, "HEAD"), clone, clones, work]) {
    if (asRoot) chownSync(path, NOBODY, NOBODY);
  }
  chmodSync(clone, 0);
  chmodSync(clones, 0o300);
  assert.notEqual(spawnSync("rm", ["-rf", work], who).status, 0);
  assert.equal(existsSync(work), true);
  // The function alone, since nobody may read this tree.
  const imports =
    'import { chmodSync, existsSync, readdirSync, rmSync } from "node:fs"; import { join } from "node:path"; const CLONES = "_argocd-repo";';
  const program = `${imports} ${removeWorkFolder.toString()}; removeWorkFolder(${JSON.stringify(work)});`;
  const { status, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], who);
  assert.equal(status, 0, stderr.toString());
  assert.equal(existsSync(work), false);
});

test("a folder that is not there is no error", () => {
  removeWorkFolder(join(base, "nothing"));
});
