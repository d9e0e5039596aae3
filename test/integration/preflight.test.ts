import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { RunResult } from "../../lib/process.ts";
import { run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";
import { byName, type PreflightResult, resultOf } from "../support/preflight-result.ts";
import { basicPrograms } from "../support/programs.ts";
import { eventsOf, type WorkingCopy, workingCopies } from "../support/working-copy.ts";

/** preflight on a copy of the tree that is well, and on one in which everything is broken: each check shows that it can fail. */

const evidence = (result: PreflightResult, name: string): string =>
  byName(result, name)
    .findings.map((finding) => finding.evidence)
    .join("\n");

const newCopy = workingCopies();
/** A copy with all that is linted, the shell scripts of CI included. */
function copyOfTree(): WorkingCopy {
  const copy = newCopy();
  cpSync(join(ROOT, ".ci"), join(copy.root, ".ci"), { recursive: true });
  return copy;
}
const TREE_CHECKS = [
  "packer-fmt",
  "tofu-fmt",
  "packer/proxmox",
  "packer/qemu",
  "tofu/k3s-single",
  "kustomize/argo",
  "kustomize/bootstrap",
  "kustomize/phpipam",
  "kustomize/home",
  "manifests",
  "shellcheck",
  "yamllint",
  "tflint",
  "placeholders",
  "tools",
  "settings",
];

describe("on the tree as it is, without Proxmox and without settings", () => {
  let ended: RunResult;
  before(async () => {
    // What CI demands: every tool is there, but for those that a committed list names.
    ended = await copyOfTree().task("preflight", ["--json", "--strict"]);
  });

  test("all is well, and at least twelve checks have run", () => {
    assert.equal(ended.exitCode, 0, `${ended.stdout}${ended.stderr}`);
    const result = resultOf(ended);
    const ran = result.checks.filter(({ state }) => state !== "skipped").map(({ name }) => name);
    assert.deepEqual(ran.filter((name) => TREE_CHECKS.includes(name)).sort(), TREE_CHECKS.toSorted());
    assert.ok(ran.length >= 12);
    assert.equal(result.passed + result.warned + result.unavailable, ran.length);
    assert.equal(result.failed, 0);
  });

  test("each check is told when it ends, with its name, state and time", () => {
    const steps = eventsOf(ended).filter(({ event, name }) => event === "step" && name !== undefined);
    for (const check of resultOf(ended).checks) {
      const own = steps.filter(({ name, state }) => name === check.name && state !== "started");
      assert.deepEqual(
        own.map(({ state }) => state),
        [check.state === "skipped" ? "skipped" : "done"],
        check.name,
      );
      assert.equal(typeof own[0]?.ms, "number");
    }
  });

  test("a check that is skipped says what it needs", () => {
    // In short in the list, in full for machines.
    for (const [name, shown, needs] of [
      ["node/certificate", "PM_API_URL", ["PM_API_URL"]],
      ["node/api", "PM_API_*", ["PM_API_URL", "PM_API_TOKEN_ID", "PM_API_TOKEN_SECRET"]],
      ["node/ssh", "PM_SSH_HOST", ["ssh", "PM_API_URL or PM_SSH_HOST"]],
    ] as const) {
      const check = byName(resultOf(ended), name);
      assert.deepEqual([check.state, check.reason], ["skipped", `needs ${shown}`]);
      assert.deepEqual(check.needs, needs);
    }
    assert.equal(byName(resultOf(ended), "dotenv").reason, "no .env");
    assert.equal(byName(resultOf(ended), "hadolint").reason, "no Dockerfile");
  });

  test("values that are left to fill in, and settings that are missing, are warnings with what to do", () => {
    const result = resultOf(ended);
    assert.equal(byName(result, "placeholders").state, "warning");
    assert.match(
      evidence(result, "placeholders"),
      /^k8s\/argo\/repository\/repository\.yaml:\d+ {2}repoURL says CHANGEME$/m,
    );
    assert.doesNotMatch(evidence(result, "placeholders"), /\.example|app-of-apps/);
    assert.equal(byName(result, "settings").state, "warning");
    assert.match(evidence(result, "settings"), /^PM_API_URL is not set/m);
    const fixes = byName(result, "settings").findings.flatMap(({ fix }) => fix);
    assert.ok(fixes.some((line) => line.startsWith("Set it in .env: PM_API_TOKEN_ID=")));
  });
});

/** What is broken, and what the check that finds it says. */
const BROKEN: readonly {
  readonly check: string;
  readonly title: string;
  readonly file: string;
  readonly change: (text: string) => string;
  readonly says: RegExp;
  readonly fix: RegExp;
}[] = [
  {
    check: "packer-fmt",
    title: "a Packer file that is not formatted",
    file: "packer/alma9-k3s-optimized/qemu/variables.pkr.hcl",
    change: (text) => text.replace(/^ {2}type( +)=/m, "     type$1 ="),
    says: /^packer\/alma9-k3s-optimized\/qemu\/variables\.pkr\.hcl$/m,
    fix: /^\$ \S*packer fmt -recursive packer\/$/m,
  },
  {
    check: "tofu-fmt",
    title: "an OpenTofu file that is not formatted",
    file: "terraform/modules/proxmox-vm/outputs.tf",
    change: (text) => text.replace(/^ {2}value/m, "     value"),
    says: /^terraform\/modules\/proxmox-vm\/outputs\.tf$/m,
    fix: /^\$ \S*tofu fmt -recursive terraform\/$/m,
  },
  {
    check: "packer/qemu",
    title: "a variable that Packer does not have",
    file: "packer/alma9-k3s-optimized/qemu/packer.pkr.hcl",
    change: (text) => text.replace("var.accelerator", "var.acelerator"),
    says: /acelerator/,
    fix: /Mend the files in packer\/alma9-k3s-optimized\/qemu/,
  },
  {
    check: "packer/proxmox",
    title: "a local value that Packer does not have, plugin or not",
    file: "packer/alma9-k3s-optimized/packer.pkr.hcl",
    change: (text) => `${text}\nlocals {\n  broken = local.nowhere\n}\n`,
    says: /nowhere/,
    fix: /Mend the files in packer\/alma9-k3s-optimized/,
  },
  {
    check: "tofu/k3s-single",
    title: "an argument that the module does not have",
    file: "terraform/envs/k3s-single/main.tf",
    change: (text) => text.replace(/^module "\w+" \{$/m, "$&\n  colour = 1\n"),
    says: /"colour" is not expected here[\s\S]*main\.tf:\d+/,
    fix: /./,
  },
  {
    check: "kustomize/home",
    title: "a resource that is not there",
    file: "k8s/clusters/home/apps/kustomization.yaml",
    change: (text) => text.replace("resources: []", "resources:\n  - nothing.yaml"),
    says: /nothing\.yaml/,
    fix: /\$ kustomize build .*k8s\/clusters\/home/,
  },
  {
    check: "kustomize/bootstrap",
    title: "a patch for an object that Argo CD does not have",
    file: "k8s/clusters/home/bootstrap/argocd-cm.yaml",
    change: (text) => text.replace("name: argocd-cm", "name: argocd-none"),
    says: /argocd-none/,
    fix: /\$ kustomize build/,
  },
  {
    check: "kustomize/phpipam",
    title: "a field of a kustomization that there is not",
    file: "k8s/clusters/home/infra/phpipam/kustomization.yaml",
    change: (text) => `${text}\nnamePrefixx: a\n`,
    says: /namePrefixx/,
    fix: /\$ kustomize build --enable-helm k8s\/clusters\/home\/infra\/phpipam/,
  },
  {
    check: "manifests",
    title: "a field that Argo CD's Applications do not have",
    file: "k8s/argo/app-of-apps.yaml",
    change: (text) => text.replace("selfHeal: true", "selfHeel: true"),
    says: /^k8s\/argo\/app-of-apps\.yaml:\d+ {2}Application app-of-apps, spec\.syncPolicy\.automated\.selfHeel: additional properties 'selfHeel' not allowed$/m,
    fix: /Mend the manifest/,
  },
  {
    check: "shellcheck",
    title: "a shell script with an unquoted variable",
    file: "packer/alma9-k3s-optimized/scripts/broken.sh",
    change: () => "#!/usr/bin/env bash\nrm -rf $1/x\n",
    says: /^packer\/alma9-k3s-optimized\/scripts\/broken\.sh:2:8 {2}Double quote.* \(SC2086\)$/m,
    fix: /shellcheck\.net/,
  },
  {
    check: "yamllint",
    title: "a YAML file with the same key twice",
    file: "k8s/clusters/home/apps/values.yaml",
    change: () => "size: 1\nsize: 2\n",
    says: /^k8s\/clusters\/home\/apps\/values\.yaml:2:1 {2}duplication of key "size".*\(key-duplicates\)$/m,
    fix: /\.yamllint\.yaml/,
  },
  {
    check: "tflint",
    title: "a variable that nothing uses",
    file: "terraform/modules/proxmox-vm/variables.tf",
    change: (text) =>
      `${text}\nvariable "idle" {\n  type        = string\n  description = "Nobody asks for it"\n}\n`,
    says: /^terraform\/modules\/proxmox-vm\/variables\.tf:\d+:1 {2}variable "idle" is declared but not used \(terraform_unused_declarations\)$/m,
    fix: /\.tflint\.hcl/,
  },
  {
    check: "hadolint",
    title: "a Dockerfile with an image of any version",
    file: "tools/Dockerfile",
    change: () => "FROM debian:latest\nRUN cd /tmp\n",
    says: /^tools\/Dockerfile:1:1 {2}.*\(DL3007\)$/m,
    fix: /hadolint/,
  },
  {
    check: "placeholders",
    title: "a value that says something else than CHANGEME",
    file: "terraform/envs/k3s-single/own.auto.example",
    change: () => 'name = "<your-name>"\n',
    says: /own\.auto\.example:1 {2}<your-name>: say CHANGEME instead$/m,
    fix: /TODO or CHANGEME/,
  },
  {
    check: "settings",
    title: "a setting that is no address",
    file: ".env",
    change: () => "PM_API_URL=nowhere\n",
    says: /^PM_API_URL is not valid/m,
    fix: /Set it in \.env: PM_API_URL=https/,
  },
];

describe("on a tree in which everything is broken", () => {
  let ended: RunResult;
  before(async () => {
    const copy = copyOfTree();
    for (const { file, change } of BROKEN) {
      const path = join(copy.root, file);
      mkdirSync(dirname(path), { recursive: true });
      let text = "";
      try {
        text = readFileSync(path, "utf8");
      } catch {
        // A new one.
      }
      const changed = change(text);
      assert.notEqual(changed, text, file);
      writeFileSync(path, changed, { mode: 0o600 });
    }
    ended = await copy.task("preflight", ["--json", "--skip", "node"]);
  });

  for (const { check, title, says, fix } of BROKEN) {
    test(`${check} finds ${title}`, () => {
      const { state, findings } = byName(resultOf(ended), check);
      assert.equal(state, "failed");
      const failed = findings.filter((finding) => finding.state === "failed");
      assert.match(failed.map((finding) => finding.evidence).join("\n"), says);
      assert.match(failed.flatMap((finding) => finding.fix).join("\n"), fix);
    });
  }

  test("one failing check hides no other: all are told, and the exit code is 1", () => {
    assert.equal(ended.exitCode, 1);
    const result = resultOf(ended);
    assert.equal(result.ok, false);
    const failed = result.checks.filter(({ state }) => state === "failed").map(({ name }) => name);
    assert.deepEqual(failed.sort(), BROKEN.map(({ check }) => check).sort());
    assert.equal(result.failed, BROKEN.length);
    assert.match(ended.stderr, new RegExp(`${BROKEN.length} of \\d+ checks failed: `));
  });
});

describe("what people see", () => {
  test("a line for each check; then what failed, each with its fix; then how to look at those again", async () => {
    const copy = copyOfTree();
    writeFileSync(join(copy.root, "k8s", "bad.yaml"), "a: 1\na: 2\n");
    writeFileSync(join(copy.root, "bad.sh"), "#!/bin/sh\necho $x\n");
    const { exitCode, stdout, stderr } = await copy.task("preflight", [
      ...["--only", "yamllint,shellcheck,tofu-fmt", "--skip", "tofu-fmt"],
    ]);
    assert.equal(exitCode, 1);
    assert.equal(stdout, "");
    assert.match(stderr, /^▸ Check 2 things side by side$/m);
    assert.match(stderr, /^ {2}✖ yamllint {4}YAML files are clean +\d[\d.]* m?s$/m);
    assert.match(stderr, /^ {2}✖ shellcheck {2}Shell scripts are clean +\d[\d.]* m?s$/m);
    assert.match(stderr, /^✖ shellcheck {2}failed\n {4}bad\.sh:2:6 {2}[\s\S]* {4}→ Mend them/m);
    assert.match(stderr, /^✖ yamllint {2}failed\n {4}k8s\/bad\.yaml:2:1 {2}/m);
    assert.match(stderr, /^✖ 2 of 2 checks failed: shellcheck, yamllint$/m);
    assert.match(stderr, /\$ npm run preflight -- --only shellcheck,yamllint$/m);
  });

  test("a name that there is not is wrong usage, with those there are", async () => {
    const copy = copyOfTree();
    for (const flag of ["--only", "--skip"]) {
      const { exitCode, stderr } = await copy.task("preflight", [flag, "yamllint,nothing"]);
      assert.equal(exitCode, 2);
      assert.match(stderr, /There is no check called "nothing"/);
      for (const name of TREE_CHECKS) assert.ok(stderr.includes(name), name);
      assert.doesNotMatch(stderr, /▸ Check/);
    }
  });
});

describe("a tool that is not to be had", () => {
  const base = mkdtempSync(join(tmpdir(), "homelab-preflight-test-"));
  after(() => rmSync(base, { recursive: true, force: true }));

  /** On a machine with an empty cache, and with nothing that could fill it. */
  async function bare(flags: readonly string[]): Promise<RunResult> {
    const copy = copyOfTree();
    return await run(process.execPath, ["--import", "tsx", join("tasks", "preflight.ts"), ...flags], {
      cwd: copy.root,
      env: {
        ...copy.env({ HOMELAB_CACHE: join(base, "cache"), HOMELAB_TOOLS: "path" }),
        PATH: basicPrograms(mkdtempSync(join(base, "p-"))),
      },
      allow: [0, 1, 2],
    });
  }

  test("is a warning that says why and what to do, and nothing else fails for it", async () => {
    const { exitCode, stdout } = await bare([
      "--json",
      "--only",
      "yamllint,tflint,kustomize/home,placeholders",
    ]);
    const result = resultOf({ exitCode, stdout, stderr: "" });
    assert.equal(exitCode, 0);
    for (const [check, tool] of [
      ["yamllint", "yamllint"],
      ["tflint", "tflint"],
      ["kustomize/home", "kustomize"],
    ] as const) {
      const { state, findings } = byName(result, check);
      assert.equal(state, "unavailable", check);
      assert.equal(findings[0]?.missing, tool);
      assert.match(findings[0]?.evidence ?? "", /is not to be had[\s\S]*HOMELAB_TOOLS/);
      assert.ok((findings[0]?.fix.length ?? 0) > 0);
    }
  });

  test("is a failure with --strict", async () => {
    const { exitCode, stdout } = await bare(["--json", "--strict", "--only", "yamllint,placeholders"]);
    const result = resultOf({ exitCode, stdout, stderr: "" });
    assert.equal(exitCode, 1);
    assert.equal(byName(result, "yamllint").state, "failed");
    assert.equal(byName(result, "placeholders").state, "warning");
  });

  test("is a failure at once where nothing of ours gets it", async () => {
    const { exitCode, stdout } = await bare(["--json", "--only", "tools"]);
    const result = resultOf({ exitCode, stdout, stderr: "" });
    assert.equal(exitCode, 1);
    assert.match(evidence(result, "tools"), /^ssh is not on PATH[\s\S]*^git is not on PATH/m);
    const fixes = byName(result, "tools").findings.flatMap(({ fix }) => fix);
    assert.ok(fixes.includes("$ sudo apt-get install openssh-client"));
  });
});
