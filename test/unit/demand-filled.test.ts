import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, describe, test } from "node:test";
import { loadSettings, readSources } from "../../lib/config/index.ts";
import { demandFilled } from "../../lib/demand-filled.ts";
import { UsageError } from "../../lib/errors.ts";

/** A task that needs a value which still says CHANGEME names file and line, before it does anything. */

const base = mkdtempSync(join(tmpdir(), "homelab-filled-"));
after(() => rmSync(base, { recursive: true, force: true }));

let trees = 0;
function treeOf(files: Readonly<Record<string, string>>): string {
  trees += 1;
  const root = join(base, String(trees));
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, file)), { recursive: true });
    writeFileSync(join(root, file), text, { mode: 0o600 });
  }
  return root;
}

const FILES = {
  "k8s/argo/app.yaml": "spec:\n  repoURL: CHANGEME # argo/repository\n  path: CHANGEME\n",
  "k8s/argo/own.yaml": "address: CHANGEME\n",
  "k8s/other/values.yaml": "# TODO: more\nsize: TODO\n",
  "packer/http/userdata/node.yaml": "hostname: CHANGEME\n",
  "terraform/globals.tfvars.example": 'node = "CHANGEME"\n',
};

describe("demandFilled", () => {
  test("names every value with file and line, and what does not go on", async () => {
    const request = { paths: ["k8s/"], except: ["k8s/argo/own.yaml"], otherwise: "nothing is applied" };
    await assert.rejects(demandFilled(treeOf(FILES), request), (error: unknown) => {
      assert(error instanceof UsageError);
      assert.equal(error.what, "2 values are not filled in yet: nothing is applied");
      assert.equal(
        error.why,
        "k8s/argo/app.yaml:3  path says CHANGEME\nk8s/other/values.yaml:2  size says TODO",
      );
      assert.match(error.todo.join("\n"), /\$ npm run preflight -- --only placeholders/);
      return true;
    });
  });

  test("is content with what others fill in, with comments, and with other files", async () => {
    const root = treeOf(FILES);
    await demandFilled(root, { paths: ["packer/", "terraform/"], otherwise: "no" });
    await demandFilled(root, { paths: ["k8s/argo/nothing.yaml"], otherwise: "no" });
    await demandFilled(treeOf({ "k8s/values.yaml": "# TODO: more\nsize: 5 # CHANGEME when it is full\n" }), {
      paths: ["k8s/"],
      otherwise: "no",
    });
  });
});

describe("a setting that still says CHANGEME", () => {
  for (const [file, text, name, place] of [
    [".env", "# mine\nPM_API_TOKEN_ID=CHANGEME@pve!CHANGEME\n", "PM_API_TOKEN_ID", ".env:2"],
    [".env", "PM_NODE=a\nexport PM_NODE=TODO\n", "PM_NODE", ".env:2"],
    ["terraform/globals.tfvars", '\n\nnode = "CHANGEME"\n', "PM_NODE", "terraform/globals.tfvars:3"],
  ] as const) {
    test(`${name} in ${file} is refused with its line`, async () => {
      const sources = (await readSources(treeOf({ [file]: text }))).slice(1);
      await assert.rejects(loadSettings([name], [], sources), (error: unknown) => {
        assert(error instanceof UsageError);
        assert.match(error.what, new RegExp(`^${name} still says (CHANGEME|TODO)$`));
        assert.match(error.why ?? "", new RegExp(`taken from ${place.replaceAll(".", "\\.")}`));
        return true;
      });
    });
  }

  test("from the environment is named as such", async () => {
    const sources = [{ name: "the environment", values: { PM_NODE: "CHANGEME" } }];
    await assert.rejects(loadSettings([], ["PM_NODE"], sources), (error: unknown) => {
      assert(error instanceof UsageError);
      assert.match(error.message, /still says CHANGEME.*taken from the environment/s);
      assert.match(error.todo[0] ?? "", /^Change or unset it in the environment: export PM_NODE=/);
      return true;
    });
  });

  test("is none when the word is a part of another one", async () => {
    const sources = [{ name: ".env", values: { PM_NODE: "changemenow", PM_STORAGE: "TODO-list" } }];
    assert.deepEqual(
      { ...(await loadSettings(["PM_NODE", "PM_STORAGE"], [], sources)) },
      { PM_NODE: "changemenow", PM_STORAGE: "TODO-list" },
    );
  });
});
