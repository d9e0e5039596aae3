import { createHash } from "node:crypto";
import { copyFile, cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { TaskError } from "../errors.ts";
import { CommandError, type RunOptions } from "../process.ts";
import { temporaryFolder } from "../temporary.ts";
import { FIELD_MANAGER } from "./field-manager.ts";
import { type Kubectl, type ShownTarget, shownKubectl } from "./kubectl.ts";
import { type Kustomize, kustomizeBuild } from "./kustomize.ts";

export const ARGO_NAMESPACE = "argocd";
/** On the namespace: the checksum of what was applied last. Its own manager, so that applying does not remove it. */
const APPLIED = "homelab/applied-manifests";
const READY_TIMEOUT = "10m";

/** An Argo CD that runs in the cluster. */
export interface ArgoInstallation {
  readonly namespace: string;
  /** "3.5.7"; undefined for an image without a version. */
  readonly version: string | undefined;
  /** Whether these tasks have installed it. */
  readonly ours: boolean;
}

const deploymentsSchema = v.object({
  items: v.array(
    v.object({
      metadata: v.object({
        namespace: v.string(),
        managedFields: v.optional(v.array(v.object({ manager: v.optional(v.string()) })), []),
      }),
      spec: v.object({
        template: v.object({ spec: v.object({ containers: v.array(v.object({ image: v.string() })) }) }),
      }),
    }),
  ),
});

/** The Argo CD of the cluster, whoever installed it. */
export async function findArgo(
  kubectl: Kubectl,
  options: RunOptions = {},
): Promise<ArgoInstallation | undefined> {
  const args = [
    ...["deployments", "--all-namespaces", "--show-managed-fields"],
    ...["-l", "app.kubernetes.io/name=argocd-server"],
  ];
  const [found] = (await kubectl.get(args, deploymentsSchema, options)).items;
  if (found === undefined) return undefined;
  const image = found.spec.template.spec.containers[0]?.image ?? "";
  return {
    namespace: found.metadata.namespace,
    version: /:v(\d+\.\d+\.\d+\S*)$/.exec(image)?.[1],
    ours: found.metadata.managedFields.some(({ manager }) => manager === FIELD_MANAGER),
  };
}

/**
 * Render Argo CD's installation with a local, verified copy of the upstream manifests in place of their address.
 * @param directory k8s/clusters/home/bootstrap
 * @param upstream the verified file
 */
export async function renderBootstrap(
  kustomize: Kustomize,
  directory: string,
  upstream: string,
  signal?: AbortSignal,
): Promise<string> {
  const copy = temporaryFolder("homelab-bootstrap");
  try {
    await cp(directory, copy, { recursive: true });
    await copyFile(upstream, join(copy, "install.yaml"));
    const file = join(copy, "kustomization.yaml");
    const text = await readFile(file, "utf8");
    await writeFile(
      file,
      text.replace(/^(\s*- )https:\/\/\S+\/manifests\/install\.yaml$/m, "$1install.yaml"),
    );
    return await kustomizeBuild(kustomize, copy, signal, [copy, directory]);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

const namespaceSchema = v.object({
  metadata: v.optional(v.object({ annotations: v.optional(v.record(v.string(), v.string()), {}) })),
});

/** Whether exactly these manifests were applied last, and all of their objects are there. */
export async function isInstalled(
  kubectl: Kubectl,
  manifests: string,
  options: RunOptions = {},
): Promise<boolean> {
  const { metadata } = await kubectl.get(["namespace", ARGO_NAMESPACE], namespaceSchema, options);
  if (metadata?.annotations[APPLIED] !== checksum(manifests)) return false;
  try {
    await kubectl.run(["get", "-f", "-", "-o", "name"], { ...options, input: manifests });
    return true;
  } catch (error) {
    if (
      error instanceof CommandError &&
      /NotFound|doesn't have a resource type|no matches/.test(error.stderr)
    )
      return false;
    throw error;
  }
}

const APPLIED_IN_PART = [
  "What was applied before the failure stays in the namespace argocd; applying again goes on from there",
];

/**
 * Apply the installation.
 * @param byHand the command with which a person does the same
 * @throws {TaskError} with the manual way
 */
export async function installArgo(
  kubectl: Kubectl,
  manifests: string,
  byHand: string,
  options: RunOptions = {},
): Promise<void> {
  try {
    await kubectl.apply(manifests, { ...options, force: false });
    const mark = `${APPLIED}=${checksum(manifests)}`;
    const flags = ["--overwrite", `--field-manager=${FIELD_MANAGER}-bootstrap`];
    await kubectl.run(["annotate", "namespace", ARGO_NAMESPACE, mark, ...flags], options);
  } catch (error) {
    // The way to the cluster may have broken, in the middle of it.
    if (error instanceof TaskError) throw error.withLeft(APPLIED_IN_PART);
    if (!(error instanceof CommandError)) throw error;
    const conflict = /conflict/i.test(error.stderr);
    throw new TaskError({
      what: "Argo CD was not installed completely",
      why: error.message,
      todo: [
        ...(conflict
          ? [
              "Somebody else manages these fields. When they may be overwritten, apply by hand with --force-conflicts:",
            ]
          : ["Run it again, or install it by hand:"]),
        `$ ${byHand}${conflict ? " --force-conflicts" : ""}`,
        "See what is there so far, and what the cluster says of it:",
        `$ ${kubectl.shown("get", "all", "-n", ARGO_NAMESPACE)}`,
        `$ ${kubectl.shown("get", "events", "-n", ARGO_NAMESPACE, "--sort-by=.lastTimestamp")}`,
      ],
      left: APPLIED_IN_PART,
      cause: error,
    });
  }
}

/** Wait until Argo CD's resource types are known and its workloads run. @throws {TaskError} naming what is not ready */
export async function waitForArgo(kubectl: Kubectl, options: RunOptions = {}): Promise<void> {
  const types = ["applications", "applicationsets", "appprojects"].map((name) => `crd/${name}.argoproj.io`);
  const workloads = ["-n", ARGO_NAMESPACE, `--timeout=${READY_TIMEOUT}`];
  try {
    await kubectl.run(["wait", "--for=condition=Established", "--timeout=60s", ...types], options);
    await kubectl.run(["wait", "--for=condition=Available", "deployment", "--all", ...workloads], options);
    await kubectl.run(
      ["rollout", "status", "statefulset/argocd-application-controller", ...workloads],
      options,
    );
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
    throw new TaskError({
      what: `Argo CD is not ready after ${READY_TIMEOUT}`,
      why: error.message,
      todo: [
        "See what keeps its pods from starting (images that cannot be pulled, too little memory):",
        `$ ${kubectl.shown("-n", ARGO_NAMESPACE, "get", "pods")}`,
        `$ ${kubectl.shown("-n", ARGO_NAMESPACE, "get", "events", "--sort-by=.lastTimestamp")}`,
      ],
      left: ["Its manifests are applied; run the task again to go on waiting"],
      cause: error,
    });
  }
}

/** How a person gets into Argo CD's web interface: the command that opens it, and the one that shows the password. */
export function argoLogin(target: ShownTarget): [forward: string, password: string] {
  const inArgo = ["-n", ARGO_NAMESPACE];
  const secret = ["get", "secret", "argocd-initial-admin-secret", "-o", "jsonpath={.data.password}"];
  return [
    shownKubectl(target, [...inArgo, "port-forward", "service/argocd-server", "8443:443"]),
    `${shownKubectl(target, [...inArgo, ...secret])} | base64 -d`,
  ];
}

function checksum(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
