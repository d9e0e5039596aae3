import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { parse } from "yaml";
import { ROOT } from "../../lib/task/index.ts";

/** What the specification shows literally, compared with the files: its tree, and its snippets of HCL and YAML. */

const read = (path: string): string => readFileSync(join(ROOT, path), "utf8");
const yaml = (path: string): unknown => parse(read(path));

/** A variable's block in HCL. */
function variable(path: string, name: string): string {
  const [, block] = new RegExp(`^variable "${name}" \\{\\n([\\s\\S]*?)^\\}`, "m").exec(read(path)) ?? [];
  return block ?? assert.fail(`${path} has no variable ${name}`);
}

describe("folders and files", () => {
  for (const path of [
    "packer/common.pkr.hcl",
    "packer/alma9-k3s-optimized/packer.pkr.hcl",
    "packer/alma9-k3s-optimized/variables.pkr.hcl",
    "packer/alma9-k3s-optimized/http/userdata",
    "packer/alma9-k3s-optimized/scripts/os-update.sh",
    "packer/alma9-k3s-optimized/scripts/guest-agent.sh",
    "packer/alma9-k3s-optimized/scripts/k3s-install.sh",
    "packer/alma9-k3s-optimized/scripts/hardening-oscap.sh",
    "terraform/modules/proxmox-vm",
    "terraform/envs/k3s-single",
    "k8s/argo/app-of-apps.yaml",
    "k8s/argo/projects/default-project.yaml",
    "k8s/clusters/home/kustomization.yaml",
    "k8s/clusters/home/bootstrap/kustomization.yaml",
    "k8s/clusters/home/infra/kustomization.yaml",
    "k8s/clusters/home/infra/phpipam/kustomization.yaml",
    "k8s/clusters/home/infra/phpipam/namespace.yaml",
    "k8s/clusters/home/infra/phpipam/values.yaml",
    "k8s/clusters/home/apps/kustomization.yaml",
  ]) {
    test(`the tree has ${path}`, () => assert.ok(existsSync(join(ROOT, path))));
  }
});

describe("Packer's variables", () => {
  const own = "packer/alma9-k3s-optimized/variables.pkr.hcl";
  const shared = "packer/common.pkr.hcl";
  for (const [name, path] of [
    ["image_version", shared],
    ["proxmox_url", own],
    ["proxmox_username", own],
    ["proxmox_token", own],
    ["proxmox_node", own],
    ["alma_iso_url", shared],
    ["k3s_version", shared],
  ] as const) {
    test(`${name} is a string, and ${name === "proxmox_token" ? "sensitive" : "may be shown"}`, () => {
      const block = variable(path, name);
      assert.match(block, /^ {2}type +=\s*string$/m);
      assert.equal(/^ {2}sensitive += true$/m.test(block), name === "proxmox_token");
    });
  }
});

describe("the provider", () => {
  const provider = read("terraform/envs/k3s-single/provider.tf");

  test("gets address and token from the variables of PM_API_URL, PM_API_TOKEN_ID and PM_API_TOKEN_SECRET", () => {
    assert.match(provider, /^ {2}endpoint += .*\bvar\.pm_api_url\b/m);
    assert.match(provider, /^ {2}api_token += "\$\{var\.pm_api_token_id\}=\$\{var\.pm_api_token_secret\}"$/m);
  });

  test("verifies the node's certificate unless somebody asks it not to", () => {
    assert.match(provider, /^ {2}insecure += var\.pm_tls_insecure$/m);
    const insecure = variable("terraform/envs/k3s-single/variables.tf", "pm_tls_insecure");
    assert.match(insecure, /^ {2}default += false$/m);
  });
});

describe("the Applications", () => {
  const repository = yaml("k8s/argo/repository/repository.yaml") as { data: Record<string, string> };
  const server = "https://kubernetes.default.svc";

  for (const [name, file, path, namespace] of [
    ["app-of-apps", "k8s/argo/app-of-apps.yaml", "k8s/clusters/home", "argocd"],
    [
      "phpipam",
      "k8s/clusters/home/infra/phpipam-application.yaml",
      "k8s/clusters/home/infra/phpipam",
      "ipam",
    ],
  ] as const) {
    test(`${name} is the specification's`, () => {
      const { apiVersion, kind, metadata, spec } = yaml(file) as {
        apiVersion: string;
        kind: string;
        metadata: { name: string; namespace: string };
        spec: {
          project: string;
          source: { path: string };
          destination: unknown;
          syncPolicy: { automated: unknown; syncOptions: string[] };
        };
      };
      assert.deepEqual(
        [apiVersion, kind, metadata.name, metadata.namespace, spec.project, spec.source.path],
        ["argoproj.io/v1alpha1", "Application", name, "argocd", "default", path],
      );
      assert.deepEqual(spec.destination, { server, namespace });
      assert.deepEqual(spec.syncPolicy.automated, { prune: true, selfHeal: true });
      assert.ok(spec.syncPolicy.syncOptions.includes("CreateNamespace=true"));
    });
  }

  test("follow HEAD of a repository that is still to be named", () => {
    assert.equal(repository.data.targetRevision, "HEAD");
    assert.match(repository.data.repoURL ?? "", /CHANGEME/);
  });
});

describe("phpIPAM", () => {
  const folder = "k8s/clusters/home/infra/phpipam";

  test("comes through helmCharts, with its namespace beside it", () => {
    const { namespace, resources, helmCharts } = yaml(`${folder}/kustomization.yaml`) as {
      namespace: string;
      resources: string[];
      helmCharts: Record<string, string>[];
    };
    assert.equal(namespace, "ipam");
    assert.ok(resources.includes("namespace.yaml"));
    const [{ repo: _, ...chart } = {}] = helmCharts;
    assert.deepEqual(chart, {
      name: "phpipam",
      version: "1.0.1",
      releaseName: "phpipam",
      namespace: "ipam",
      valuesFile: "values.yaml",
    });
    assert.deepEqual(yaml(`${folder}/namespace.yaml`), {
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "ipam" },
    });
  });

  test("is a ClusterIP without ingress, and says what is to do for both", () => {
    const { phpipamWeb } = yaml(`${folder}/values.yaml`) as {
      phpipamWeb: { service: { type: string }; ingress: Record<string, unknown> };
    };
    assert.equal(phpipamWeb.service.type, "ClusterIP");
    assert.deepEqual(phpipamWeb.ingress, {
      enabled: false,
      host: "ipam.home.arpa",
      path: "/",
      pathType: "Prefix",
    });
    assert.match(read(`${folder}/values.yaml`), /# TODO: .*MetalLB[^#]*type: ClusterIP/);
    assert.match(read(`${folder}/values.yaml`), /# TODO: .*your domain/);
  });

  test("has its database on a volume of k3s' storage class, and no password in Git", () => {
    const values = yaml(`${folder}/values.yaml`) as {
      phpipamMariadb: { persistentVolume: { enabled: boolean; storageClass: string } };
    };
    const { enabled, storageClass } = values.phpipamMariadb.persistentVolume;
    assert.deepEqual({ enabled, storageClass }, { enabled: true, storageClass: "local-path" });
    assert.doesNotMatch(JSON.stringify(values), /password|changeme/i);
  });
});

describe("the targets", () => {
  const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
  for (const name of [
    "build-image", // called packer there
    "tf-init",
    "tf-plan",
    "tf-apply",
    "tf-destroy",
    "k8s-bootstrap",
    "argo",
    "k8s-diff",
    "preflight",
    "clean",
  ]) {
    test(`${name} is npm run ${name}, and tasks/${name}.ts`, () => {
      assert.equal(scripts[name], `node --import tsx tasks/${name}.ts`);
      assert.ok(existsSync(join(ROOT, "tasks", `${name}.ts`)));
    });
  }
});
