import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseNotes, UPLOAD_FOLDER } from "../../lib/proxmox/index.ts";
import { formatMark, runMark } from "../../lib/run-mark.ts";
import {
  haveFork,
  haveKubeconfig,
  haveNoUpload,
  haveNoVm,
  havePacker,
  haveTemplates,
  haveVm,
  namesOf,
  notApplied,
  sentFiles,
  TEMPLATE,
  wellDone,
} from "./arrange.ts";
import { objectsOf } from "./objects.ts";
import type { FaultWorld } from "./world.ts";

/** A task as it is called, what it finds, and how its work is told to be done. */
export interface TaskCase {
  readonly command: string;
  /** Pairs of the same place share a sandbox. */
  readonly place: "node" | "access" | "images" | "tofu" | "cluster";
  flags(world: FaultWorld): readonly string[];
  /** How it is told to run again after a failure, where that is not the same. */
  readonly again?: readonly string[];
  /** Settings that are other ones for it. */
  readonly env?: Readonly<Record<string, string>>;
  /** The same, where the world has to make something for it. */
  environment?(world: FaultWorld): Promise<Readonly<Record<string, string>>>;
  /** Make what it finds; nothing fails now. */
  arrange(world: FaultWorld): Promise<void>;
  /** What is not as it has to be after its work; empty when all is done. */
  undone(world: FaultWorld): Promise<readonly string[]>;
}

const OLDER = "alma9-k3-node-amd64-v1.27.9-v1";
const OLD = "alma9-k3-node-amd64-v1.28.5-v1";
const UPLOADED = "alma9-k3-node-amd64-v1.35.6-v7";
const LEFT_VM = "alma9-k3-node-amd64-v1.35.6-v9";
/** Of a run of this machine whose process is gone. */
const LEFT_MARK = `Being uploaded (0123456789abcdef): ${formatMark({ ...runMark(), pid: 1, identity: "start-0" })}`;
const LEFT_FILE = `${UPLOAD_FOLDER}/alma9-k3-node-amd64-v1.35.6-v8-0123456789ab.qcow2`;
/** A user and roles that nobody else needs. */
const TRIED = ["--user", "try@pve", "--role-prefix", "Try"] as const;
/** As on a machine where there is none yet. */
const WITHOUT_TOKEN = { PM_API_TOKEN_ID: "", PM_API_TOKEN_SECRET: "" } as const;

function dotenvOf({ copy }: FaultWorld): string {
  return join(copy.root, ".env");
}

function hasUser({ sandbox }: FaultWorld): boolean {
  return readFileSync(join(sandbox.dir, "state", "access.json"), "utf8").includes("try@pve");
}

const nothing = async (): Promise<readonly string[]> => [];

function uploadBy(via: "ssh" | "api"): TaskCase {
  return {
    command: "upload-image",
    place: "images",
    flags: ({ copy }) => [join(copy.home, "images", "image.qcow2"), UPLOADED, "--via", via, "--yes"],
    arrange: haveNoUpload,
    async undone(world) {
      const made = (await world.pve.vms()).filter(({ name }) => name === UPLOADED);
      return [
        ...(made.length === 1 && made[0]?.template === 1
          ? []
          : [`${made.length} VMs are called ${UPLOADED}`]),
        ...sentFiles(world).map((file) => `${file} was not removed`),
      ];
    },
  };
}
const APPLY: TaskCase = {
  command: "tf-apply",
  again: ["--yes", "--allow-replace", "k3s-s1"],
  place: "tofu",
  flags: () => ["--yes"],
  arrange: haveNoVm,
  undone: notApplied,
};

export const TASKS = {
  images: {
    command: "images",
    place: "node",
    flags: () => [],
    arrange: async (world) => await haveTemplates(world, OLD, TEMPLATE),
    undone: nothing,
  },
  "images --prune": {
    command: "images",
    place: "node",
    flags: () => ["--prune", "--yes"],
    arrange: async (world) => await haveTemplates(world, OLD, TEMPLATE, OLDER),
    undone: async (world) =>
      (await namesOf(world)).filter((name) => name !== TEMPLATE).map((name) => `${name} is still there`),
  },
  leftovers: {
    command: "leftovers",
    place: "node",
    flags: () => ["--yes"],
    async arrange(world) {
      if (!(await namesOf(world)).includes(LEFT_VM))
        await world.pve.createVm(150, LEFT_VM, { tags: "homelab;k3s", description: LEFT_MARK });
      mkdirSync(world.onNode(UPLOAD_FOLDER), { recursive: true });
      writeFileSync(world.onNode(LEFT_FILE), "half an image");
    },
    undone: async (world) => [
      ...((await namesOf(world)).includes(LEFT_VM) ? ["the VM is still there"] : []),
      ...(existsSync(world.onNode(LEFT_FILE)) ? ["the file is still there"] : []),
    ],
  },
  preflight: {
    command: "preflight",
    place: "node",
    flags: () => ["--only", "node"],
    arrange: async (world) => await haveTemplates(world, TEMPLATE),
    undone: nothing,
  },
  "build-image": {
    command: "build-image",
    place: "node",
    flags: () => ["--yes"],
    environment: havePacker,
    async arrange(world) {
      await haveTemplates(world, OLD);
      rmSync(join(world.copy.root, ".homelab", "builds"), { recursive: true, force: true });
    },
    async undone({ pve }) {
      const made = (await pve.vms()).filter(({ name }) => name === TEMPLATE);
      const [{ vmid = 0, template = 0 } = {}] = made;
      if (made.length !== 1 || template !== 1) return [`${made.length} VMs are called ${TEMPLATE}`];
      const { tags, description } = await pve.config(vmid);
      return [
        ...(parseNotes(String(description)) === undefined ? ["its notes have no metadata"] : []),
        ...(/run-/.test(String(tags)) ? ["it bears its run's mark"] : []),
      ];
    },
  },
  "pve-init": {
    command: "pve-init",
    place: "access",
    flags: () => [...TRIED, "--yes"],
    env: WITHOUT_TOKEN,
    async arrange(world) {
      if (hasUser(world)) await wellDone(world, "pve-init", ["--remove", ...TRIED, "--yes"], WITHOUT_TOKEN);
      rmSync(dotenvOf(world), { force: true });
    },
    undone: async (world) => [
      ...(hasUser(world) ? [] : ["there is no user try@pve"]),
      ...(existsSync(dotenvOf(world)) && readFileSync(dotenvOf(world), "utf8").includes("try@pve!tasks")
        ? []
        : ["the token is not in .env"]),
    ],
  },
  "upload-image --via ssh": uploadBy("ssh"),
  "upload-image --via api": uploadBy("api"),
  "tf-plan": {
    command: "tf-plan",
    place: "tofu",
    flags: () => [],
    arrange: haveNoVm,
    undone: nothing,
  },
  "tf-apply": APPLY,
  "tf-destroy": {
    command: "tf-destroy",
    place: "tofu",
    flags: () => ["--env", "k3s-single", "--yes"],
    arrange: haveVm,
    undone: async (world) =>
      (await world.pve.vms())
        .filter(({ template }) => template !== 1)
        .map(({ name }) => `${name} is still there`),
  },
  kubeconfig: {
    command: "kubeconfig",
    place: "cluster",
    flags: () => [],
    async arrange(world) {
      rmSync(world.kubeconfig, { force: true });
      await haveVm(world);
    },
    undone: async ({ kubeconfig }) =>
      existsSync(kubeconfig) && /name: k3s-single/.test(readFileSync(kubeconfig, "utf8"))
        ? []
        : ["there is no context k3s-single"],
  },
  "k8s-bootstrap": {
    command: "k8s-bootstrap",
    place: "cluster",
    flags: () => ["--yes"],
    arrange: haveKubeconfig,
    undone: async (world) =>
      (await objectsOf(world)).some((line) => line.startsWith("Deployment argocd/argocd-server "))
        ? []
        : ["Argo CD is not installed"],
  },
  argo: {
    command: "argo",
    place: "cluster",
    flags: () => ["--yes"],
    async arrange(world) {
      await haveFork(world);
      await haveKubeconfig(world);
    },
    undone: nothing,
  },
  "k8s-diff": {
    command: "k8s-diff",
    place: "cluster",
    flags: () => [],
    arrange: haveKubeconfig,
    undone: nothing,
  },
  status: {
    command: "status",
    place: "cluster",
    flags: () => [],
    arrange: haveKubeconfig,
    undone: nothing,
  },
  deploy: {
    command: "deploy",
    place: "cluster",
    flags: () => ["--yes"],
    async arrange(world) {
      await haveFork(world);
      await haveKubeconfig(world);
    },
    undone: nothing,
  },
} satisfies Record<string, TaskCase>;
