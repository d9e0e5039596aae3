import assert from "node:assert/strict";
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createSparseQcow2 } from "../../lib/proxmox/index.ts";
import { basicPrograms, systemProgram } from "../support/programs.ts";
import { commandsIn, refusalOf } from "../support/refusals.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/**
 * What is missing when a command is called, and what is said of it: the lines "Makefile Target Failures" of the specification.
 * The tasks are what its Makefile has as targets. Each test is called after the line that it proves.
 */

const copy = new WorkingCopy();
const image = join(copy.home, "image.qcow2");
const key = join(copy.home, "key.pub");
const NAME = "alma9-k3-node-amd64-v1.35.6-v1";

before(async () => {
  await createSparseQcow2(image, 1024 ** 3);
  writeFileSync(key, "ssh-ed25519 AAAA me\n");
});
after(() => copy.remove());

describe("Makefile Target Failures · Validate required environment variables", () => {
  const API = ["PM_API_URL", "PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"] as const;
  for (const [task, flags, missing] of [
    ["build-image", [], API],
    ["images", [], API],
    ["tf-init", [], API],
    ["tf-plan", [], [...API, "SSH_PUBLIC_KEY_FILE"]],
    ["tf-apply", ["--yes"], [...API, "SSH_PUBLIC_KEY_FILE"]],
    ["tf-destroy", ["--env", "k3s-single", "--yes"], [...API, "SSH_PUBLIC_KEY_FILE"]],
    ["kubeconfig", [], API],
    ["status", [], API],
    ["deploy", ["--yes"], [...API, "SSH_PUBLIC_KEY_FILE"]],
    ["upload-image", [image, NAME], ["PM_SSH_HOST"]],
    ["argo", ["--yes"], ["GIT_REPO_URL"]],
  ] as const) {
    test(`Makefile Target Failures · Validate required environment variables · ${task}`, async () => {
      const { exitCode, what, why, todo, stderr } = await refusalOf(copy, task, flags);
      assert.equal(exitCode, 2);
      for (const name of missing) {
        assert.match(`${what}\n${why}`, new RegExp(`^\\s*${name} is missing$`, "m"));
        assert.match(todo, new RegExp(`set it in \\.env: ${name}=\\S+`, "i"));
      }
      // Nothing was begun before that.
      assert.doesNotMatch(stderr, /^✔/m);
    });
  }

  for (const file of ["globals.tfvars", "envs/k3s-single/terraform.tfvars"]) {
    test(`Makefile Target Failures · Validate required environment variables · no key, where ${file} holds it`, async () => {
      const path = join(copy.root, "terraform", file);
      writeFileSync(path, 'ssh_pubkey = "ssh-ed25519 AAAA me"\n');
      try {
        for (const [task, ...flags] of [["tf-plan"], ["tf-apply", "--yes"], ["deploy", "--yes"]] as const) {
          const { what, why } = await refusalOf(copy, task, flags);
          assert.equal(what, "3 settings need attention", task);
          assert.doesNotMatch(why, /SSH_PUBLIC_KEY_FILE/);
        }
      } finally {
        rmSync(path);
      }
    });
  }

  test("Makefile Target Failures · Validate required environment variables · malformed ones", async () => {
    const { exitCode, what, why, todo } = await refusalOf(copy, "tf-plan", [], {
      PM_API_URL: "http://10.23.45.10:8006",
      PM_API_TOKEN_ID: "root@pam",
      PM_API_TOKEN_SECRET: "not-a-uuid-but-secret",
      SSH_PUBLIC_KEY_FILE: key,
    });
    assert.equal(exitCode, 2);
    assert.equal(what, "3 settings need attention");
    assert.match(why, /PM_API_URL is not valid: it must begin with https:\/\//);
    assert.match(why, /PM_API_TOKEN_ID is not valid: it must have the form USER@REALM!TOKENID/);
    assert.match(todo, /PM_API_TOKEN_ID=homelab@pve!tasks/);
    assert.ok(!`${what}${why}${todo}`.includes("not-a-uuid-but-secret"));
  });
});

describe("Makefile Target Failures · Check tool availability (packer, tofu, kubectl)", () => {
  const bin = basicPrograms(join(copy.home));
  const node = {
    PM_API_URL: "https://127.0.0.1:1/api2/json",
    PM_API_TOKEN_ID: "homelab@pve!tasks",
    PM_API_TOKEN_SECRET: "00000000-0000-4000-8000-000000000000",
    CLUSTER_ACCESS: "direct",
    SSH_PUBLIC_KEY_FILE: key,
  };
  /** A machine without the tools, that may not get them either. */
  const bare = {
    PATH: bin,
    HOMELAB_TOOLS: "path",
    HOMELAB_CACHE: join(copy.home, "empty-cache"),
  };

  before(() => {
    for (const name of ["qemu-system-x86_64", "qemu-img", "ping", "git"]) {
      const program = systemProgram(name);
      if (program !== undefined) symlinkSync(program, join(bin, name));
    }
    mkdirSync(bare.HOMELAB_CACHE);
  });
  after(() => rmSync(bare.HOMELAB_CACHE, { recursive: true, force: true }));

  for (const [tool, task, flags, skip] of [
    [
      "packer",
      "build-image",
      ["--builder", "qemu", "--no-upload"],
      systemProgram("qemu-system-x86_64") === undefined && "QEMU is not installed here, which is told first",
    ],
    ["tofu", "tf-plan", [], false],
    ["tofu", "tf-apply", ["--yes"], false],
    ["tofu", "tf-destroy", ["--env", "k3s-single", "--yes"], false],
    ["kubectl", "k8s-bootstrap", [], false],
    ["kustomize", "k8s-diff", [], false],
  ] as const) {
    const title = `Makefile Target Failures · Check tool availability (packer, tofu, kubectl) · ${tool} for ${task}`;
    test(title, { skip }, async () => {
      const { exitCode, what, why, todo } = await refusalOf(copy, task, flags, { ...node, ...bare });
      assert.equal(exitCode, 1);
      assert.match(what, new RegExp(`^${tool} \\d+\\.\\d+\\.\\d+ \\(.+\\) is not to be had for \\w+/\\w+$`));
      assert.match(why, /HOMELAB_TOOLS/);
      assert.match(todo, new RegExp(`Install it yourself: any ${tool} .+ on PATH is taken`));
      assert.deepEqual(commandsIn(todo), ["npm run setup"]);
    });
  }
});
