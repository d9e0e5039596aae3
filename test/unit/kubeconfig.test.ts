import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { parse, stringify } from "yaml";
import { TaskError } from "../../lib/errors.ts";
import {
  clusterOf,
  k3sCredentials,
  mergeCluster,
  throughProxy,
  tunnelPort,
} from "../../lib/k8s/kubeconfig.ts";

const credentials = { certificateAuthority: "Q0E=", clientCertificate: "Q0VSVA==", clientKey: "S0VZ" };
const entry = { context: "k3s-single", server: "https://10.23.45.31:6443", credentials };

const MINE = `# my clusters
apiVersion: v1
kind: Config
current-context: work
clusters:
  - name: work
    cluster:
      server: https://work.example.org # behind the VPN
      certificate-authority: /home/me/ca.pem
contexts:
  - name: work
    context: {cluster: work, user: me, namespace: team}
users:
  - name: me
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: get-token
preferences: {colors: true}
`;

interface Shape {
  readonly clusters: { name: string; cluster: Record<string, string> }[];
  readonly users: { name: string; user: Record<string, string> }[];
  readonly contexts: { name: string; context: Record<string, string> }[];
  readonly "current-context": string;
}

describe("mergeCluster", () => {
  test("makes a kubeconfig where there is none, and the new context current", () => {
    for (const nothing of [undefined, "", "\n"]) {
      const { text, changed, currentContext } = mergeCluster(nothing, entry);
      const made = parse(text) as Shape;
      assert.equal(changed, true);
      assert.equal(currentContext, "k3s-single");
      assert.equal(made["current-context"], "k3s-single");
      assert.deepEqual(made.clusters, [
        { name: "k3s-single", cluster: { "certificate-authority-data": "Q0E=", server: entry.server } },
      ]);
      assert.deepEqual(made.users, [
        {
          name: "k3s-single",
          user: { "client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ" },
        },
      ]);
      assert.deepEqual(made.contexts, [
        { name: "k3s-single", context: { cluster: "k3s-single", user: "k3s-single" } },
      ]);
    }
  });

  test("keeps other clusters, comments and the current context", () => {
    const { text, currentContext } = mergeCluster(MINE, entry);
    assert.equal(currentContext, "work");
    assert.match(text, /^# my clusters$/m);
    assert.match(text, /# behind the VPN/);
    const merged = parse(text) as Shape;
    const before = parse(MINE) as Shape;
    assert.deepEqual(merged.clusters[0], before.clusters[0]);
    assert.deepEqual(merged.contexts[0], before.contexts[0]);
    assert.deepEqual(merged.users[0], before.users[0]);
    assert.equal(merged.clusters.length, 2);
  });

  test("changes nothing the second time", () => {
    const once = mergeCluster(MINE, entry).text;
    const twice = mergeCluster(once, entry);
    assert.equal(twice.changed, false);
    assert.equal(twice.text, once);
  });

  test("renews the credentials of its own entry, and keeps the namespace a person has set", () => {
    const once = mergeCluster(MINE, entry).text.replace(
      /(name: k3s-single\n {4}context:\n)/,
      "$1      namespace: argocd\n",
    );
    const renewed = mergeCluster(once, { ...entry, credentials: { ...credentials, clientKey: "TkVX" } });
    const { users, contexts } = parse(renewed.text) as Shape;
    assert.equal(renewed.changed, true);
    assert.equal(renewed.replacedServer, undefined);
    assert.equal(users.find(({ name }) => name === "k3s-single")?.user["client-key-data"], "TkVX");
    assert.equal(contexts.find(({ name }) => name === "k3s-single")?.context.namespace, "argocd");
  });

  test("says which server the context led to before", () => {
    const other = mergeCluster(MINE, { ...entry, context: "work" });
    assert.equal(other.replacedServer, "https://work.example.org");
  });

  test("writes a proxy for a cluster behind a jump host, and takes it out again", () => {
    const proxied = mergeCluster(undefined, { ...entry, proxyUrl: "socks5://127.0.0.1:17001" });
    assert.deepEqual(clusterOf(proxied.text, "k3s-single"), {
      server: entry.server,
      proxyUrl: "socks5://127.0.0.1:17001",
    });
    assert.equal(clusterOf(mergeCluster(proxied.text, entry).text, "k3s-single")?.proxyUrl, undefined);
  });

  for (const [what, text] of [
    ["broken YAML", "clusters: [\n"],
    ["a list", "- a\n- b\n"],
    ["another kind of document", "kind: Pod\napiVersion: v1\n"],
  ] as const) {
    test(`refuses ${what}`, () => {
      assert.throws(
        () => mergeCluster(text, entry),
        (error: unknown) => error instanceof TaskError && error.left.includes("It was not changed"),
      );
    });
  }

  test("loses nothing of any kubeconfig", () => {
    const name = fc.stringMatching(/^[a-z][a-z0-9@:._-]{0,20}$/).filter((text) => text !== "k3s-single");
    const value = fc.oneof(fc.string(), fc.integer(), fc.boolean());
    const section = (key: string): fc.Arbitrary<unknown[]> =>
      fc.uniqueArray(
        fc.record({ name, [key]: fc.dictionary(fc.stringMatching(/^[a-z][a-z-]{0,12}$/), value) }),
        { selector: (item) => (item as { name: string }).name, maxLength: 5 },
      );
    const config = fc.record({
      apiVersion: fc.constant("v1"),
      kind: fc.constant("Config"),
      clusters: section("cluster"),
      contexts: section("context"),
      users: section("user"),
      "current-context": fc.option(name, { nil: "" }),
    });
    fc.assert(
      fc.property(config, (before) => {
        const after = parse(mergeCluster(stringify(before), entry).text) as Record<string, unknown[]>;
        for (const key of ["clusters", "contexts", "users"] as const) {
          const others = (after[key] ?? []).filter(
            (each) => (each as { name: string }).name !== "k3s-single",
          );
          assert.deepEqual(others, JSON.parse(JSON.stringify(before[key])));
        }
        if (before["current-context"]) assert.equal(after["current-context"], before["current-context"]);
      }),
      { numRuns: 200 },
    );
  });
});

describe("k3sCredentials", () => {
  const k3s = (user: Record<string, string>): string =>
    stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [
        {
          name: "default",
          cluster: { "certificate-authority-data": "Q0E=", server: "https://127.0.0.1:6443" },
        },
      ],
      users: [{ name: "default", user }],
    });

  test("reads what k3s writes", () => {
    const text = k3s({ "client-certificate-data": "Q0VSVA==", "client-key-data": "S0VZ" });
    assert.deepEqual(k3sCredentials(text), credentials);
  });

  test("refuses anything else, naming what is missing", () => {
    assert.throws(
      () => k3sCredentials(k3s({ token: "abc" })),
      (error: unknown) =>
        error instanceof TaskError && /users\.0\.user\.client-certificate-data/.test(error.why ?? ""),
    );
    assert.throws(() => k3sCredentials("not: it\n"), TaskError);
  });
});

test("throughProxy changes the proxy of one context alone", () => {
  const text = mergeCluster(MINE, entry).text;
  const proxied = throughProxy(text, "k3s-single", "socks5://127.0.0.1:40000");
  assert.equal(clusterOf(proxied, "k3s-single")?.proxyUrl, "socks5://127.0.0.1:40000");
  assert.equal(clusterOf(proxied, "work")?.proxyUrl, undefined);
});

test("a context has the same tunnel port every time, and it is no privileged one", () => {
  assert.equal(tunnelPort("k3s-single"), tunnelPort("k3s-single"));
  fc.assert(
    fc.property(fc.string(), (context) => {
      const port = tunnelPort(context);
      assert.ok(Number.isInteger(port) && port >= 17_000 && port < 18_000);
    }),
  );
});
