import { createHash, randomBytes } from "node:crypto";
import { appendFileSync, cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { commitAll } from "../../lib/git.ts";
import { writeRepository } from "../../lib/k8s/index.ts";
import { createSparseQcow2, UPLOAD_FOLDER } from "../../lib/proxmox/index.ts";
import { standInPacker } from "../support/packer-on-node.ts";
import { onNode } from "../support/ssh.ts";
import type { FaultWorld } from "./world.ts";

/** What tasks find, made as people make it. */

/** What the settings' defaults come to. */
export const TEMPLATE = "alma9-k3-node-amd64-v1.35.6-v1";
/** Where images that were sent by the API wait to be imported. */
const IMPORTS = "var/lib/vz/import";

export async function namesOf({ pve }: FaultWorld): Promise<string[]> {
  return (await pve.vms()).map(({ name }) => name);
}

/** As root, who may remove also what a lost task has left locked. */
export async function removeVms(
  { pve, sandbox }: FaultWorld,
  isWanted: (name: string) => boolean,
): Promise<void> {
  for (const { vmid, name, status } of await pve.vms()) {
    if (isWanted(name)) continue;
    const { lock } = await pve.config(vmid);
    const line = [
      ...(lock === undefined ? [] : [`qm set ${vmid} --delete lock --skiplock 1`]),
      ...(status === "running" ? [`qm stop ${vmid}`] : []),
      `qm destroy ${vmid}`,
    ].join(" && ");
    const { exit, stderr } = await onNode(sandbox.endpoints, line);
    if (exit !== 0) throw new Error(`VM ${vmid} (${name}) cannot be removed: ${stderr}`);
  }
}

export async function haveTemplates(world: FaultWorld, ...names: readonly string[]): Promise<void> {
  await removeVms(world, (name) => names.includes(name));
  const there = await namesOf(world);
  for (const [at, name] of names.entries())
    if (!there.includes(name)) await world.pve.createTemplate(9000 + at, name);
}

/** An image with data that do not compress: what is sent of it is about as long. */
export async function imageOf({ copy }: FaultWorld): Promise<string> {
  const folder = join(copy.home, "images");
  const file = join(folder, "image.qcow2");
  if (!existsSync(file)) {
    mkdirSync(folder, { recursive: true });
    await createSparseQcow2(file, 1024 ** 3);
    appendFileSync(file, randomBytes(3 * 1024 ** 2));
  }
  return file;
}

export async function haveNoUpload(world: FaultWorld): Promise<void> {
  await removeVms(world, () => false);
  for (const folder of [UPLOAD_FOLDER, IMPORTS].map((each) => world.onNode(each)))
    for (const file of existsSync(folder) ? readdirSync(folder) : []) rmSync(join(folder, file));
  rmSync(`${await imageOf(world)}.json`, { force: true });
}

export function sentFiles(world: FaultWorld): string[] {
  return [UPLOAD_FOLDER, IMPORTS]
    .map((folder) => world.onNode(folder))
    .flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : []))
    .filter((name) => name.endsWith(".qcow2"));
}

/** What an image is built with: a stand-in for Packer and its plugin, and an ISO. @returns the environment that leads to it */
export async function havePacker({ copy }: FaultWorld): Promise<Record<string, string>> {
  const iso = join(copy.home, "installer.iso");
  writeFileSync(iso, "the installer");
  return {
    ...(await standInPacker(copy)),
    ALMA_ISO_URL: iso,
    ALMA_ISO_CHECKSUM: `sha256:${createHash("sha256").update("the installer").digest("hex")}`,
    STAND_IN_MOMENTS: join(copy.home, "moments"),
  };
}

export function stateOf({ copy }: FaultWorld): string {
  return join(copy.root, "terraform", "envs", "k3s-single", "terraform.tfstate");
}

export async function haveNoVm(world: FaultWorld): Promise<void> {
  await removeVms(world, (name) => name === TEMPLATE);
  for (const ending of ["", ".backup"]) rmSync(`${stateOf(world)}${ending}`, { force: true });
  await haveTemplates(world, TEMPLATE);
}

export async function haveVm(world: FaultWorld): Promise<void> {
  if ((await notApplied(world)).length === 0) return;
  await haveNoVm(world);
  await wellDone(world, "tf-apply", ["--yes"]);
}

/** Run a task without any fault. */
export async function wellDone(
  world: FaultWorld,
  command: string,
  flags: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { code, stderr } = await world.run(command, flags, { env });
  if (code !== 0) throw new Error(`${command} did not end well without a fault: ${stderr}`);
}

export async function haveKubeconfig(world: FaultWorld): Promise<void> {
  await haveVm(world);
  if (!existsSync(world.kubeconfig)) await wellDone(world, "kubeconfig", []);
}

/** A person's repository, which names itself. */
export async function haveFork({ copy, repository }: FaultWorld): Promise<void> {
  const fork = join(copy.home, "fork");
  if (existsSync(fork)) return;
  await writeRepository(copy.root, { repoURL: repository, targetRevision: "main" });
  mkdirSync(fork);
  cpSync(join(copy.root, "k8s"), join(fork, "k8s"), { recursive: true });
  await commitAll(fork, "The manifests");
}

/** What of the environment is not as tf-apply leaves it. */
export async function notApplied(world: FaultWorld): Promise<string[]> {
  const vms = (await world.pve.vms()).filter(({ template }) => template !== 1);
  return [
    ...(vms.length === 1 && vms[0]?.status === "running" ? [] : [`the VMs are ${JSON.stringify(vms)}`]),
    ...(existsSync(stateOf(world)) ? [] : ["there is no state"]),
  ];
}
