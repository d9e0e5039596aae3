import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, beforeEach, describe, test } from "node:test";
import { findBuildOutputs, removeBuildOutput } from "../../lib/build-outputs/index.ts";
import { TaskError } from "../../lib/errors.ts";
import { run } from "../../lib/process.ts";
import { eventsOf, WorkingCopy } from "../support/working-copy.ts";

/** `clean`: what the tasks have made goes, and everything else survives. */

const NAME = "alma9-k3-node-amd64-v1.35.6-v1";
const IMAGE = `packer/alma9-k3s-optimized/qemu/output/${NAME}`;
const DATA = "terraform/envs/k3s-single/.terraform";
const PROVIDER = `${DATA}/providers/registry.opentofu.org/bpg/proxmox/0.111.1/linux_amd64`;
const PHPIPAM = "k8s/clusters/home/infra/phpipam";

const base = mkdtempSync(join(tmpdir(), "homelab-clean-"));
const copies: WorkingCopy[] = [];
after(() => {
  for (const copy of copies) copy.remove();
  rmSync(base, { recursive: true, force: true });
});

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(base, "t-"));
});

/** Write files; their folders are made. */
function put(files: Readonly<Record<string, string | Buffer>>, into = root): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(into, path)), { recursive: true });
    writeFileSync(join(into, path), content);
  }
}

/** All files and links below a folder, with folders that are empty. */
function tree(folder = root): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((path) => {
      const stat = lstatSync(join(folder, path));
      return (
        !path.startsWith(".git/") && (!stat.isDirectory() || readdirSync(join(folder, path)).length === 0)
      );
    })
    .sort();
}

const QCOW2 = Buffer.concat([Buffer.from("QFI\u00fb", "latin1"), Buffer.alloc(8_192, 1)]);
const MADE = {
  [`${PROVIDER}/terraform-provider-proxmox_v0.111.1`]: "a program",
  [`${PROVIDER}.lock`]: "",
  [`${DATA}/modules/modules.json`]: JSON.stringify({
    Modules: [
      { Key: "", Source: "", Dir: "." },
      { Key: "server", Source: "../../modules/proxmox-vm", Dir: "../../modules/proxmox-vm" },
      { Key: "dns", Source: "registry/dns/x", Dir: ".terraform/modules/dns/sub" },
    ],
  }),
  [`${DATA}/modules/dns/main.tf`]: "# downloaded",
  [`${IMAGE}/${NAME}.qcow2`]: QCOW2,
  [`${IMAGE}/${NAME}.qcow2.json`]: "{}",
  [`${IMAGE}/efivars.fd`]: "variables",
  [`${PHPIPAM}/charts/phpipam-1.0.1/phpipam/Chart.yaml`]: "name: phpipam\nversion: 1.0.1\n",
  [`${PHPIPAM}/charts/phpipam-1.0.1/phpipam/templates/all.yaml`]: "kind: Service\n",
  [`.homelab/builds/${NAME}/serial.log`]: "boot",
  ".homelab/logs/20261126T150000Z-tofu-77.log": "trace",
};
const SOURCES = {
  "terraform/envs/k3s-single/main.tf": "# code",
  [`${PHPIPAM}/kustomization.yaml`]: `helmCharts:\n  - name: phpipam\n    repo: https://example.org/charts\n    version: 1.0.1\n`,
};
/** Near what goes, and named like it. */
const SURVIVES = {
  // State, in every guise, and what init was told of the backend.
  "terraform/envs/k3s-single/terraform.tfstate": "state",
  "terraform/envs/k3s-single/terraform.tfstate.backup": "state",
  "terraform/envs/k3s-single/terraform.tfvars": "values",
  [`${DATA}/terraform.tfstate`]: '{"backend":{"type":"s3"}}',
  [`${DATA}/environment`]: "staging",
  [`${DATA}/providers/registry.opentofu.org/bpg/proxmox/0.111.1/linux_amd64/old.tfstate`]: "state",
  [`${DATA}/providers/README`]: "mine",
  [`${DATA}/modules/unknown/main.tf`]: "mine",
  [`${DATA}/notes.txt`]: "mine",
  // Folders that only sound like ours.
  "terraform/.terraform/providers/a/b/c/1.0.0/linux_amd64/p": "no environment's",
  "terraform/notes/.terraform/modules/modules.json": "{}",
  "terraform/envs/docs/.terraform/providers/a/b/c/1.0.0/linux_amd64/p": "no configuration beside it",
  "packer/output/thesis.qcow2": "mine",
  "packer/packer_cache/x.iso": "mine",
  "packer/alma9-k3s-optimized/output/x": "mine",
  "packer/alma9-k3s-optimized/qemu/output/my-experiment/disk.qcow2": QCOW2,
  "packer/alma9-k3s-optimized/qemu/output/readme.txt": "mine",
  [`${IMAGE}/notes.txt`]: "mine",
  [`${IMAGE}/${NAME}-copy.qcow2`]: QCOW2,
  // Charts that no kustomization has pulled.
  "k8s/clusters/home/apps/charts/mine-1.0.0/mine/Chart.yaml": "name: mine\nversion: 1.0.0\n",
  "k8s/clusters/home/apps/kustomization.yaml": "helmCharts:\n  - name: mine\n    version: 1.0.0\n",
  [`${PHPIPAM}/charts/phpipam-1.0.1/values.yaml`]: "mine",
  [`${PHPIPAM}/charts/other-1.0.0/other/Chart.yaml`]: "name: other\nversion: 1.0.0\n",
  // Settings, the sandbox's world, logs of somebody else.
  ".env": "PM_NODE=pve\n",
  ".homelab/sandbox/rootfs/etc/pve/nodes/pve/qemu-server/100.conf": "name: k3s-s1\n",
  ".homelab/logs/mine.log": "mine",
  [`.homelab/builds/${NAME}/notes`]: "mine",
} as const;

async function clean(): Promise<void> {
  for (const output of (await findBuildOutputs(root)).outputs) await removeBuildOutput(root, output);
}

describe("clean", () => {
  test("finds what the tasks have made, with its size", async () => {
    put({ ...SOURCES, ...MADE });
    const { outputs, kept } = await findBuildOutputs(root);
    assert.deepEqual(
      outputs.map(({ path, what }) => [path, what]),
      [
        [DATA, "OpenTofu's provider and modules"],
        [IMAGE, "golden image"],
        [`${PHPIPAM}/charts/phpipam-1.0.1`, "Helm chart that kustomize pulled"],
        [`.homelab/builds/${NAME}`, "logs of an image build"],
        [".homelab/logs", "logs of tools"],
      ],
    );
    assert.deepEqual(kept, []);
    const image = outputs.find(({ path }) => path === IMAGE);
    const blocks = Object.keys(MADE)
      .filter((path) => path.startsWith(IMAGE))
      .map((path) => lstatSync(join(root, path)).blocks * 512);
    assert.equal(
      image?.bytes,
      blocks.reduce((sum, bytes) => sum + bytes, 0),
    );
  });

  test("removes it all, with the folders that are empty then, and finds nothing more", async () => {
    put({ ...SOURCES, ...MADE });
    await clean();
    assert.deepEqual(tree(), [".homelab", ...Object.keys(SOURCES), "packer/alma9-k3s-optimized/qemu"].sort());
    assert.deepEqual((await findBuildOutputs(root)).outputs, []);
  });

  test("leaves everything else: state, settings, what a person put beside it or named alike", async () => {
    put({ ...SOURCES, ...MADE, ...SURVIVES });
    const { kept } = await findBuildOutputs(root);
    assert.equal(kept.find(({ path }) => path === `${DATA}/terraform.tfstate`)?.why, "state");
    assert.equal(kept.find(({ path }) => path === `${IMAGE}/notes.txt`)?.why, "not made by the tasks");
    await clean();
    assert.deepEqual(tree(), [...Object.keys(SOURCES), ...Object.keys(SURVIVES)].sort());
    for (const [path, content] of Object.entries(SURVIVES))
      assert.deepEqual(readFileSync(join(root, path)), Buffer.from(content));
  });

  test("does not take a file for an image because of its name", async () => {
    put({ [`${IMAGE}/${NAME}.qcow2`]: "the draft of a novel" });
    await clean();
    assert.deepEqual(tree(), [`${IMAGE}/${NAME}.qcow2`]);
  });

  test("does not follow symbolic links, and removes no more than a link in a place of ours", async () => {
    const away = mkdtempSync(join(base, "away-"));
    const precious = `${NAME}/${NAME}.qcow2`;
    put({ [precious]: QCOW2, "p/terraform-provider-proxmox_v0.111.1": "the mirror's" }, away);
    put(SOURCES);
    mkdirSync(join(root, dirname(PROVIDER)), { recursive: true });
    symlinkSync(join(away, "p"), join(root, PROVIDER));
    mkdirSync(join(root, "packer/alma9-k3s-optimized/qemu"), { recursive: true });
    symlinkSync(away, join(root, dirname(IMAGE)));
    const { outputs } = await findBuildOutputs(root);
    assert.deepEqual(
      outputs.map(({ path }) => path),
      [DATA],
    );
    await clean();
    assert.equal(existsSync(join(root, PROVIDER)), false);
    assert.deepEqual(tree(away), [precious, "p/terraform-provider-proxmox_v0.111.1"].sort());
  });

  test("leaves what Git tracks", async () => {
    put({ ...SOURCES, ...MADE });
    const git = async (...args: string[]): Promise<unknown> => await run("git", args, { cwd: root });
    await git("init", "--quiet");
    const chart = `${PHPIPAM}/charts/phpipam-1.0.1/phpipam/Chart.yaml`;
    await git("add", "--force", chart);
    const { kept } = await findBuildOutputs(root);
    assert.deepEqual(kept, [{ path: chart, why: "tracked by Git" }]);
    await clean();
    assert.ok(existsSync(join(root, chart)));
    assert.equal(existsSync(join(root, dirname(chart), "templates")), false);
  });

  test("removes nothing where Git does not tell", async () => {
    put({ ...SOURCES, ...MADE, ".git": "gitdir: /nowhere/at/all" });
    await run("git", ["ls-files"], { cwd: root, allow: [128] });
    writeFileSync(join(root, ".git"), "nonsense");
    await assert.rejects(findBuildOutputs(root), (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.match(error.what, /Git does not tell/);
      return true;
    });
  });
});

describe("the command", () => {
  const copy = new WorkingCopy();
  copies.push(copy);
  const node = {
    PM_API_URL: "https://127.0.0.1:1/api2/json",
    PM_API_TOKEN_ID: "me@pam!it",
    PM_API_TOKEN_SECRET: "00000000-0000-0000-0000-000000000000",
  };
  const data = join(copy.root, DATA);

  test("says so when there is nothing", async () => {
    const { exitCode, stdout } = await copy.task("clean", []);
    assert.deepEqual([exitCode, stdout], [0, "Nothing was removed\n"]);
    assert.equal((await copy.task("clean", ["--dry-run"])).stdout, "There is nothing to remove\n");
  });

  test("removes what tofu init has made; the backend's configuration stays, and init goes on from it", async () => {
    const init = await copy.task("tf-init", [], node);
    assert.equal(init.exitCode, 0, init.stderr);
    const pointer = readFileSync(join(data, "terraform.tfstate"), "utf8");

    const shown = await copy.task("clean", ["--dry-run"]);
    assert.match(shown.stdout, /^Nothing is removed \(--dry-run\)/);
    assert.match(
      shown.stdout,
      /OpenTofu's provider and modules {2}terraform\/envs\/k3s-single\/\.terraform$/m,
    );
    assert.match(
      shown.stdout,
      /stays: terraform\/envs\/k3s-single\/\.terraform\/terraform\.tfstate \(state\)/,
    );
    const events = eventsOf(await copy.task("clean", ["--dry-run", "--json"]));
    assert.equal(events.length, 1);
    assert.equal(events[0]?.dryRun, true);
    assert.match(
      JSON.stringify(events[0]?.outputs),
      /"path":"terraform\/envs\/k3s-single\/\.terraform","what":"[^"]+","bytes":\d+,"files":\d/,
    );
    assert.ok(existsSync(join(data, "providers")), "a dry run removes nothing");

    const asked = await copy.task("clean", []);
    assert.equal(asked.exitCode, 2, "without a terminal there is nobody to ask");
    assert.match(asked.stderr, /Remove this build output \([^)]+\)\?[\s\S]*--yes/);
    assert.ok(existsSync(join(data, "providers")));

    const cleaned = eventsOf(await copy.task("clean", ["--yes", "--json"]));
    assert.match(
      JSON.stringify(cleaned.at(-1)?.removed),
      /"path":"terraform\/envs\/k3s-single\/\.terraform"/,
    );
    assert.deepEqual(readdirSync(data), ["terraform.tfstate"]);
    assert.equal(readFileSync(join(data, "terraform.tfstate"), "utf8"), pointer);

    assert.equal((await copy.task("tf-init", [], node)).exitCode, 0);
    assert.ok(existsSync(join(data, "providers")));
  });

  test("leaves an environment's state and values alone", async () => {
    const own = ["terraform.tfstate", "terraform.tfvars"].map((name) =>
      join(copy.root, "terraform/envs/k3s-single", name),
    );
    for (const file of own) writeFileSync(file, "precious");
    cpSync(join(copy.root, DATA), join(copy.root, "terraform/modules/proxmox-vm/.terraform"), {
      recursive: true,
    });
    const { exitCode, stdout } = await copy.task("clean", ["--yes"]);
    assert.equal(exitCode, 0);
    assert.match(
      stdout,
      /^removed terraform\/envs\/k3s-single\/\.terraform \([^)]+\)\nremoved terraform\/modules\/proxmox-vm\/\.terraform/,
    );
    for (const file of own) assert.equal(readFileSync(file, "utf8"), "precious");
  });
});
