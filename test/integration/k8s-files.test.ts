import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parse, parseAllDocuments } from "yaml";
import { TaskError } from "../../lib/errors.ts";
import { type Kustomize, kustomizeBuild, renderBootstrap } from "../../lib/k8s/index.ts";
import { pins } from "../../lib/pins.ts";
import { ROOT } from "../../lib/task/index.ts";
import { ensureTool } from "../../lib/toolchain/index.ts";

/** The manifests, rendered by the real kustomize and helm. */

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec?: { readonly [key: string]: unknown };
  readonly data?: Readonly<Record<string, string>>;
}

interface ApplicationSpec {
  readonly project: string;
  readonly source: { readonly repoURL: string; readonly targetRevision: string; readonly path: string };
  readonly destination: { readonly server: string; readonly namespace: string };
  readonly syncPolicy: {
    readonly automated: { readonly prune: boolean; readonly selfHeal: boolean };
    readonly syncOptions: readonly string[];
  };
}

let kustomize: Kustomize;
let dir: string;
before(async () => {
  dir = mkdtempSync(join(tmpdir(), "k8s-files-"));
  kustomize = { program: (await ensureTool("kustomize")).path, helm: (await ensureTool("helm")).path };
});
after(() => rmSync(dir, { recursive: true, force: true }));

const read = (text: string): Manifest[] =>
  parseAllDocuments(text).map((document) => document.toJS() as Manifest);
const render = async (path: string, root = ROOT): Promise<Manifest[]> =>
  read(await kustomizeBuild(kustomize, join(root, path)));
const specOf = (manifest: Manifest | undefined): ApplicationSpec =>
  manifest?.spec as unknown as ApplicationSpec;
const AUTOMATED = { prune: true, selfHeal: true };

describe("the root", () => {
  test("is the specification's app of apps, with the project beside it", async () => {
    const manifests = await render("k8s/argo");
    assert.deepEqual(manifests.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort(), [
      "AppProject default",
      "Application app-of-apps",
    ]);
    const root = manifests.find(({ kind }) => kind === "Application");
    assert.equal(root?.metadata.namespace, "argocd");
    const { project, source, destination, syncPolicy } = specOf(root);
    assert.equal(project, "default");
    assert.equal(source.path, "k8s/clusters/home");
    assert.deepEqual(destination, { server: "https://kubernetes.default.svc", namespace: "argocd" });
    assert.deepEqual(syncPolicy.automated, AUTOMATED);
    assert.ok(syncPolicy.syncOptions.includes("CreateNamespace=true"));
  });

  test("leads to Applications and to nothing else", async () => {
    const manifests = await render("k8s/clusters/home");
    assert.ok(manifests.length > 0);
    assert.deepEqual(new Set(manifests.map(({ kind }) => kind)), new Set(["Application"]));
    const phpipam = manifests.find(({ metadata }) => metadata.name === "phpipam");
    const { source, destination, syncPolicy } = specOf(phpipam);
    assert.equal(source.path, "k8s/clusters/home/infra/phpipam");
    assert.equal(destination.namespace, "ipam");
    assert.deepEqual(syncPolicy.automated, AUTOMATED);
  });

  test("gives every Application the address that stands in one file", async () => {
    const copy = join(dir, "address");
    cpSync(join(ROOT, "k8s"), join(copy, "k8s"), { recursive: true });
    const file = join(copy, "k8s/argo/repository/repository.yaml");
    writeFileSync(
      file,
      readFileSync(file, "utf8")
        .replace(/repoURL: .*/, "repoURL: https://git.example.org/me/homelab.git")
        .replace(/targetRevision: .*/, "targetRevision: v7"),
    );
    const manifests = [...(await render("k8s/argo", copy)), ...(await render("k8s/clusters/home", copy))];
    for (const application of manifests.filter(({ kind }) => kind === "Application")) {
      const { repoURL, targetRevision } = specOf(application).source;
      assert.equal(repoURL, "https://git.example.org/me/homelab.git", application.metadata.name);
      assert.equal(targetRevision, "v7", application.metadata.name);
    }
    const project = manifests.find(({ kind }) => kind === "AppProject");
    assert.deepEqual(project?.spec?.sourceRepos, ["https://git.example.org/me/homelab.git"]);
  });

  test("allows the namespaces of all Applications, and no more", async () => {
    const [project] = (await render("k8s/argo")).filter(({ kind }) => kind === "AppProject");
    const allowed = ((project?.spec?.destinations ?? []) as { namespace: string }[]).map(
      ({ namespace }) => namespace,
    );
    const used = [...(await render("k8s/argo")), ...(await render("k8s/clusters/home"))]
      .filter(({ kind }) => kind === "Application")
      .map((application) => specOf(application).destination.namespace);
    assert.deepEqual(new Set(allowed), new Set(used));
  });
});

describe("the bootstrap", () => {
  test("is the pinned upstream installation, in its namespace, with our argocd-cm", async () => {
    const upstream = (await ensureTool("argocd-manifests")).path;
    const rendered = read(
      await renderBootstrap(kustomize, join(ROOT, "k8s/clusters/home/bootstrap"), upstream),
    );
    const kinds = rendered.map(({ kind }) => kind);
    assert.equal(kinds.filter((kind) => kind === "CustomResourceDefinition").length, 3);
    assert.equal(kinds.filter((kind) => kind === "Namespace").length, 1);
    const images = JSON.stringify(rendered).match(/quay\.io\/argoproj\/argocd:[^"]+/g) ?? [];
    assert.deepEqual(new Set(images), new Set([`quay.io/argoproj/argocd:v${pins.argocd.version}`]));
    const config = rendered.find(({ metadata }) => metadata.name === "argocd-cm");
    assert.equal(config?.data?.["kustomize.buildOptions"], "--enable-helm");
    assert.match(
      config?.data?.["resource.customizations.health.argoproj.io_Application"] ?? "",
      /hs\.status/,
    );
  });
});

describe("phpIPAM", () => {
  /** What chart 1.0.1 reads, key by key; lists and maps that it hands on whole end with *. */
  const KEYS = [
    "replicaCount",
    "nodeSelector.*",
    "affinity.*",
    "tolerations.*",
    ...["phpipamWeb", "phpipamCron", "phpipamMariadb"].flatMap((part) => [
      ...["repository", "tag", "pullPolicy"].map((key) => `${part}.image.${key}`),
      `${part}.env.*`,
      `${part}.resources.*`,
    ]),
    ...["enabled", "annotations.*", "extraLabels.*", "pathType", "path", "host", "tls.*"].map(
      (key) => `phpipamWeb.ingress.${key}`,
    ),
    "phpipamWeb.service.port",
    "phpipamWeb.service.type",
    ...["enabled", "accessModes.*", "storageClass", "size"].map(
      (key) => `phpipamMariadb.persistentVolume.${key}`,
    ),
    "phpipamMariadb.service.*",
    "phpipamMariadb.volumeMounts.*",
  ];
  const VALUES = join(ROOT, "k8s/clusters/home/infra/phpipam/values.yaml");

  /** The paths of all values, "a.b.c". */
  function paths(value: unknown, prefix = ""): string[] {
    if (value === null || typeof value !== "object" || Array.isArray(value)) return [prefix];
    return Object.entries(value).flatMap(([key, each]) =>
      paths(each, prefix === "" ? key : `${prefix}.${key}`),
    );
  }
  const unknownKeys = (values: unknown): string[] =>
    paths(values).filter(
      (path) =>
        !KEYS.some((key) => (key.endsWith(".*") ? `${path}.`.startsWith(key.slice(0, -1)) : key === path)),
    );

  test("gets only values that the chart knows", () => {
    assert.deepEqual(unknownKeys(parse(readFileSync(VALUES, "utf8"))), []);
    // The keys of the specification, which the chart would ignore without a word.
    assert.deepEqual(unknownKeys({ service: { type: "ClusterIP" }, phpipam: { adminPassword: "x" } }), [
      "service.type",
      "phpipam.adminPassword",
    ]);
  });

  test("renders through kustomize with a chart of that contract", async () => {
    const copy = join(dir, "phpipam");
    cpSync(join(ROOT, "k8s/clusters/home/infra/phpipam"), copy, { recursive: true });
    const chart = join(copy, "charts", "phpipam-1.0.1", "phpipam");
    mkdirSync(chart, { recursive: true });
    cpSync(join(ROOT, "lib/sandbox/stand-in-charts/phpipam"), chart, { recursive: true });
    const manifests = read(await kustomizeBuild(kustomize, copy));
    const found = (kind: string, name: string): Manifest => {
      const manifest = manifests.find((each) => each.kind === kind && each.metadata.name === name);
      assert.ok(manifest, `${kind} ${name}`);
      return manifest;
    };
    for (const { kind, metadata } of manifests) {
      if (kind !== "Namespace") assert.equal(metadata.namespace, "ipam", `${kind} ${metadata.name}`);
    }
    assert.equal(found("Namespace", "ipam").metadata.name, "ipam");
    assert.equal(found("PersistentVolumeClaim", "phpipam-mariadb").spec?.storageClassName, "local-path");
    assert.equal(found("Service", "phpipam-web").spec?.type, "ClusterIP");
    assert.equal(manifests.filter(({ kind }) => kind === "Ingress").length, 0);
    const deployment = JSON.stringify(found("Deployment", "phpipam"));
    assert.match(deployment, /"memory":"512Mi"/);
    assert.match(deployment, /"secretKeyRef":\{"key":"password","name":"mysql-password"\}/);
  });

  test("comes at the pinned version from the pinned repository", () => {
    const text = readFileSync(join(ROOT, "k8s/clusters/home/infra/phpipam/kustomization.yaml"), "utf8");
    const { helmCharts } = parse(text) as { helmCharts: { repo: string; version: string }[] };
    assert.deepEqual(
      helmCharts.map(({ repo, version }) => ({ repository: repo, version })),
      [{ repository: pins.charts.phpipam.repository, version: pins.charts.phpipam.version }],
    );
  });
});

test("manifests that do not render are named with kustomize's own words", async () => {
  const broken = join(dir, "broken");
  mkdirSync(broken);
  writeFileSync(join(broken, "kustomization.yaml"), "resources:\n  - missing.yaml\n");
  await assert.rejects(kustomizeBuild(kustomize, broken), (error: unknown) => {
    assert.ok(error instanceof TaskError);
    assert.match(error.what, /does not render/);
    assert.match(error.why ?? "", /missing\.yaml/);
    return true;
  });
});
