import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { kustomizationRoots, shellScripts, treeFiles, yamlFiles } from "../lib/lint/index.ts";
import { packerDirectories, withoutPlugin } from "../lib/packer/index.ts";
import { STAND_IN_CHARTS } from "../lib/sandbox/index.ts";
import { listEnvironments } from "../lib/tofu/index.ts";
import { ensureTool, packerPlugins, providerMirror, type ToolName } from "../lib/toolchain/index.ts";
import { PACKER_EXAMPLES } from "../tasks/preflight/hcl.ts";
import { measure, median, ROOT } from "./measure.ts";

const PAIRS = 5;
/** The checks of the kinds that preflight.sh has, too. */
const SAME = "packer-fmt,tofu-fmt,packer,tofu,kustomize,shellcheck,yamllint";

/**
 * preflight beside the specification's preflight.sh on the same tree: its commands in its order, one after the other, with
 * a process for each shell script and each YAML file as there.
 */
export async function preflight(): Promise<string[]> {
  const work = mkdtempSync(join(tmpdir(), "homelab-bench-"));
  try {
    const script = join(work, "preflight.sh");
    const { text, commands } = await preflightScript(work);
    writeFileSync(script, text);
    const task = ["run", "--silent", "preflight", "--", "--json"];
    const seconds = async (file: string, args: readonly string[]): Promise<number> =>
      (await measure(file, args)).seconds;
    // Schemas are made, and files read, before anything is measured.
    await seconds("bash", [script]);
    await seconds("npm", task);
    const byScript: number[] = [];
    const everything: number[] = [];
    const alike: number[] = [];
    for (let pair = 0; pair < PAIRS; pair += 1) {
      byScript.push(await seconds("bash", [script]));
      everything.push(await seconds("npm", task));
      alike.push(await seconds("npm", [...task, "--only", SAME]));
    }
    const row = (what: string, values: readonly number[]): string =>
      `${what.padEnd(52)} median ${median(values).toFixed(1)} s of ${PAIRS}`;
    const times = (what: string, values: readonly number[]): string =>
      `${what.padEnd(52)} ${median(values.map((value, pair) => (byScript[pair] ?? 0) / value)).toFixed(2)} times as fast, paired`;
    return [
      row(`preflight.sh, ${commands} commands one after the other`, byScript),
      row("npm run preflight, the checks of preflight.sh alone", alike),
      row("npm run preflight, everything", everything),
      times("the checks of preflight.sh alone (at least 1.80)", alike),
      times("everything", everything),
      `on ${availableParallelism()} cores`,
    ];
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The script of the specification, for this tree and the toolchain's tools. What no network can get is prepared. */
async function preflightScript(work: string): Promise<{ text: string; commands: number }> {
  const program = async (name: ToolName): Promise<string> => quoted((await ensureTool(name)).path);
  const [packer, tofu, kustomize, helm, shellcheck, yamllint] = await Promise.all(
    (["packer", "tofu", "kustomize", "helm", "shellcheck", "yamllint"] as const).map(program),
  );
  const files = await treeFiles(ROOT);
  const lines = [
    `${packer} fmt -check -recursive packer/`,
    `${tofu} fmt -check -recursive terraform/`,
    ...(await packerLines(work, packer ?? "")),
    ...(await tofuLines(work, tofu ?? "")),
    ...(await kustomizeLines(work, files, `${kustomize} build --enable-helm --helm-command ${helm}`)),
    ...(await shellScripts(ROOT, files)).map((file) => `${shellcheck} -x -P SCRIPTDIR ${quoted(file)}`),
    ...yamlFiles(files).map((file) => `${yamllint} ${quoted(file)}`),
  ];
  const exports = Object.entries(PACKER_EXAMPLES).map(
    ([name, value]) => `export PKR_VAR_${name}=${quoted(value)}`,
  );
  const head = ["set -euo pipefail", `cd ${quoted(ROOT)}`, "export CHECKPOINT_DISABLE=1", ...exports];
  return { text: [...head, ...lines, ""].join("\n"), commands: lines.length };
}

async function packerLines(work: string, packer: string): Promise<string[]> {
  const lines: string[] = [];
  for (const { path, plugins } of await packerDirectories(ROOT)) {
    // A plugin that is not to be had is left out in the script as it is in the task.
    const isQemu = plugins.every((name) => name === "qemu");
    const folder = isQemu ? path : await withoutPlugin(join(ROOT, path), join(work, "packer"));
    const pluginPath = isQemu ? (await packerPlugins(["qemu"])).dir : "/nowhere";
    lines.push(
      `(cd ${quoted(folder)} && PACKER_PLUGIN_PATH=${quoted(pluginPath)} ${packer} validate . >/dev/null)`,
    );
  }
  return lines;
}

async function tofuLines(work: string, tofu: string): Promise<string[]> {
  const { cliConfigFile } = await providerMirror();
  cpSync(join(ROOT, "terraform"), join(work, "terraform"), {
    recursive: true,
    filter: (path) => !/\.terraform(\/|$)|\.terraform\.lock\.hcl$|\.tfstate/.test(path),
  });
  return (await listEnvironments(ROOT)).flatMap((name) => {
    const folder = quoted(join(work, "terraform", "envs", name));
    const run = `cd ${folder} && TF_CLI_CONFIG_FILE=${quoted(cliConfigFile)} ${tofu}`;
    return [`(${run} init -backend=false >/dev/null)`, `(${run} validate >/dev/null)`];
  });
}

async function kustomizeLines(work: string, files: readonly string[], build: string): Promise<string[]> {
  const copy = join(work, "k8s-copy");
  cpSync(join(ROOT, "k8s"), join(copy, "k8s"), { recursive: true });
  const bootstrap = join(copy, "k8s/clusters/home/bootstrap");
  cpSync((await ensureTool("argocd-manifests")).path, join(bootstrap, "install.yaml"));
  const roots = await kustomizationRoots(ROOT, files);
  for (const { path, charts } of roots) {
    for (const { name, version } of charts) {
      const place = join(copy, path, "charts", `${name}-${version}`);
      mkdirSync(place, { recursive: true });
      cpSync(join(STAND_IN_CHARTS, name), join(place, name), { recursive: true });
    }
  }
  const local = `sed -i 's|- https://.*/manifests/install.yaml|- install.yaml|' ${quoted(join(bootstrap, "kustomization.yaml"))}`;
  return [local, ...roots.map(({ path }) => `${build} ${quoted(join(copy, path))} >/dev/null`)];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
