import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { stripVTControlCharacters } from "node:util";
import fc from "fast-check";
import { columns, wrapped } from "../../lib/columns.ts";
import type { ImageMetadata } from "../../lib/proxmox/index.ts";
import { sameRun } from "../../lib/task/index.ts";
import type { Status, Unknown } from "../../tasks/status/look.ts";
import { statusLines } from "../../tasks/status/screen.ts";
import { statusData } from "../../tasks/status.ts";

/** One screen: aligned, not wider than the terminal, with a reason and a next step for whatever is not there. */

const NAME = "alma9-k3-node-amd64-v1.35.6-v1";
const metadata: ImageMetadata = {
  version: NAME,
  base_os: "AlmaLinux 9",
  architecture: "amd64",
  k3s_version: "v1.35.6+k3s1",
  distribution_release: "v1",
  build_date: "2026-11-26T15:36:07Z",
  qcow2_path: "x.qcow2",
  qcow2_size_gb: 2.1,
  template_id: 9000,
};
const vm = { node: "pve", template: false, tags: ["homelab"] };
const application = {
  repoURL: "https://example.org/me/homelab.git",
  revision: undefined,
  problem: undefined,
};

const running: Status = {
  imageName: NAME,
  image: { value: { ...vm, vmid: 9000, name: NAME, template: true, status: "stopped", metadata } },
  vms: {
    value: [
      { ...vm, vmid: 101, name: "k3s-s1", status: "running", addresses: ["10.23.45.31/24"] },
      { ...vm, vmid: 1102, name: "k3s-agent-2", status: "stopped", addresses: ["10.23.45.132/24"] },
    ],
  },
  nodes: {
    value: [
      { name: "k3s-s1", ready: true, version: "v1.35.6+k3s1" },
      { name: "k3s-agent-2", ready: false, version: "v1.34.1+k3s1" },
    ],
  },
  argocd: { value: { namespace: "argocd", version: "3.5.7", ours: true } },
  applications: {
    value: [
      { ...application, name: "app-of-apps", path: "k8s/clusters/home", sync: "Synced", health: "Healthy" },
      {
        ...application,
        name: "phpipam",
        path: "k8s/clusters/home/infra/phpipam",
        sync: "Unknown",
        health: "Progressing",
        problem: `ComparisonError: Failed to load target state: failed to generate manifest for source 1 of 1: \`kustomize build\` failed: accumulating resources: missing.yaml`,
      },
      { ...application, name: "new", path: "k8s/new", sync: undefined, health: undefined },
    ],
  },
};

const down: Unknown = {
  what: "The Proxmox API at https://10.23.45.10:8006 cannot be used",
  why: "Nothing listens there (connection refused)",
  todo: ["Check PM_API_URL, and that this machine reaches it:", "$ curl -k https://10.23.45.10:8006"],
};
const noContext: Unknown = {
  what: "There is no context k3s-single in ~/.kube/config",
  why: undefined,
  todo: ["Fetch it from the cluster's VM:", "$ npm run kubeconfig"],
};
const unknown: Status = {
  imageName: NAME,
  image: { unknown: down },
  vms: { unknown: down },
  nodes: { unknown: noContext },
  argocd: { unknown: noContext },
  applications: { unknown: noContext },
};
const nothing: Status = {
  imageName: NAME,
  image: { value: undefined },
  vms: { value: [] },
  nodes: { value: [{ name: "k3s-s1", ready: true, version: "v1.35.6+k3s1" }] },
  argocd: { value: undefined },
  applications: { value: [] },
};

const screen = (
  status: Status,
  width?: number,
  more: Partial<Parameters<typeof statusLines>[1]> = {},
): string[] => statusLines(status, { simulated: false, width, sameRun: (lines) => lines, ...more });

describe("the screen", () => {
  test("shows image, VMs, cluster, Argo CD and Applications in columns", () => {
    assert.deepEqual(
      screen(running, 120).filter((line) => !/✖|ComparisonError|missing\.yaml|render|\$/.test(line)),
      [
        `Image         ${NAME}  9000 on pve`,
        "              AlmaLinux 9 · amd64 · k3s v1.35.6+k3s1 · built 2026-11-26 15:36 UTC · 2.0 GiB",
        "VMs           k3s-s1       running  10.23.45.31/24   101 on pve",
        "              k3s-agent-2  stopped  10.23.45.132/24  1102 on pve",
        "Cluster       k3s-s1       Ready     v1.35.6+k3s1",
        "              k3s-agent-2  NotReady  v1.34.1+k3s1",
        "Argo CD       3.5.7 in argocd",
        "Applications  app-of-apps  Synced             Healthy      k8s/clusters/home",
        "              phpipam      Unknown            Progressing  k8s/clusters/home/infra/phpipam",
        "              new          not looked at yet               k8s/new",
      ],
    );
  });

  test("says what is wrong with an Application, and what to do", () => {
    const lines = screen(running);
    const at = lines.findIndex((line) => line.includes("phpipam"));
    assert.match(lines[at + 1] ?? "", /^ {14}✖ ComparisonError: .* missing\.yaml$/);
    assert.ok(
      lines.includes("                $ kustomize build --enable-helm k8s/clusters/home/infra/phpipam"),
    );
  });

  test("says once why a part cannot be read, and what to do; the other parts refer to it", () => {
    assert.deepEqual(screen(unknown), [
      "Image         unknown: The Proxmox API at https://10.23.45.10:8006 cannot be used: Nothing listens there (connection refused)",
      "                Check PM_API_URL, and that this machine reaches it:",
      "                $ curl -k https://10.23.45.10:8006",
      "VMs           unknown, for the same reason",
      "Cluster       unknown: There is no context k3s-single in ~/.kube/config",
      "                Fetch it from the cluster's VM:",
      "                $ npm run kubeconfig",
      "Argo CD       unknown, for the same reason",
      "Applications  unknown, for the same reason",
    ]);
  });

  test("names what makes the parts that are not there, about the same node", () => {
    const lines = screen(nothing, undefined, {
      sameRun: (todo) => sameRun(todo, { sandbox: true, env: "k3s-ha" }),
    });
    assert.deepEqual(lines, [
      `Image         there is no ${NAME}`,
      "                $ npm run build-image -- --sandbox --env k3s-ha",
      "VMs           none",
      "                $ npm run deploy -- --sandbox --env k3s-ha",
      "Cluster       k3s-s1  Ready  v1.35.6+k3s1",
      "Argo CD       not installed",
      "                $ npm run k8s-bootstrap -- --sandbox --env k3s-ha",
      "Applications  none",
    ]);
  });

  for (const width of [80, 120]) {
    for (const [name, status] of Object.entries({ running, unknown, nothing })) {
      test(`fits into ${width} columns: ${name}`, () => {
        for (const line of screen(status, width, { simulated: true }))
          if (!line.includes("$ ")) assert.ok(line.length <= width, `${line.length}: ${line}`);
      });
    }
  }

  test("is the same with colours", () => {
    const plain = screen(running, 80);
    const colored = screen(running, 80, { color: true });
    assert.deepEqual(colored.map(stripVTControlCharacters), plain);
    assert.ok(colored.some((line) => line.includes("\u001b[32mrunning")));
    assert.ok(colored.some((line) => line.includes("\u001b[31mNotReady")));
  });
});

test("for machines, what is not there is null, and what is not known is told apart", () => {
  assert.deepEqual(statusData(nothing), {
    image: null,
    vms: [],
    nodes: [{ name: "k3s-s1", ready: true, version: "v1.35.6+k3s1" }],
    argocd: null,
    applications: [],
    unknown: {},
  });
  const { unknown: parts, ...known } = statusData({ ...running, vms: { unknown: down } });
  assert.deepEqual(parts, { vms: down });
  assert.deepEqual(Object.keys(known), ["image", "nodes", "argocd", "applications"]);
});

describe("columns and lines", () => {
  test("cells of a column begin at the same place, whatever is in them", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ unit: "grapheme-ascii" }), fc.constant("|"))), (rows) => {
        const lines = columns(rows.map(([cell]) => [cell.replaceAll("|", "/"), "|"]));
        assert.ok(new Set(lines.map((line) => line.lastIndexOf("|"))).size <= 1);
      }),
    );
  });

  test("a text that is wrapped is the same text, in lines of the width", () => {
    fc.assert(
      fc.property(fc.lorem({ maxCount: 40 }), fc.integer({ min: 5, max: 60 }), (text, width) => {
        const lines = wrapped(text, width);
        assert.equal(lines.join(" "), text);
        for (const line of lines) assert.ok(line.length <= width || !line.includes(" "), line);
      }),
    );
  });
});
