import * as v from "valibot";
import { type Document, isMap, isSeq, parseDocument, type YAMLMap } from "yaml";
import { TaskError } from "../errors.ts";

/** One cluster in a kubeconfig: its cluster, user and context all have the context's name. */
export interface ClusterEntry {
  readonly context: string;
  /** "https://10.23.45.31:6443" */
  readonly server: string;
  /** "socks5://127.0.0.1:17001", for clusters that only a jump host reaches. */
  readonly proxyUrl?: string;
  readonly credentials: Credentials;
}

/** What lets an administrator in; base64 of PEM, as kubeconfigs carry it. */
export interface Credentials {
  readonly certificateAuthority: string;
  readonly clientCertificate: string;
  readonly clientKey: string;
}

const base64 = v.pipe(v.string(), v.base64());
const k3sSchema = v.object({
  clusters: v.tuple([v.object({ cluster: v.object({ "certificate-authority-data": base64 }) })]),
  users: v.tuple([
    v.object({ user: v.object({ "client-certificate-data": base64, "client-key-data": base64 }) }),
  ]),
});

/**
 * The credentials in the kubeconfig that k3s leaves on its server.
 * @throws {TaskError} when it has another form
 */
export function k3sCredentials(text: string): Credentials {
  const parsed = v.safeParse(k3sSchema, parseDocument(text).toJS());
  if (!parsed.success) {
    throw new TaskError({
      what: "The kubeconfig on the VM is not one of k3s",
      why: v.getDotPath(parsed.issues[0]) ?? parsed.issues[0].message,
      todo: ["Look at /etc/rancher/k3s/k3s.yaml on the VM"],
    });
  }
  const [{ cluster }] = parsed.output.clusters;
  const [{ user }] = parsed.output.users;
  return {
    certificateAuthority: cluster["certificate-authority-data"],
    clientCertificate: user["client-certificate-data"],
    clientKey: user["client-key-data"],
  };
}

/** What merging comes to. */
export interface Merged {
  readonly text: string;
  /** False when the entry was there already, word for word. */
  readonly changed: boolean;
  /** The server that the context named before, when it was another one. */
  readonly replacedServer: string | undefined;
  readonly currentContext: string;
}

/**
 * Put a cluster into a kubeconfig. Everything else in it stays as it is, comments included; the current context is set
 * only where there is none.
 * @param existing the file's text; undefined when there is none
 * @throws {TaskError} when it is no kubeconfig
 */
export function mergeCluster(existing: string | undefined, entry: ClusterEntry): Merged {
  const { context: name, server, proxyUrl, credentials } = entry;
  const document = parseKubeconfig(existing?.trim() ? existing : EMPTY);
  const before = findNamed(document, "clusters", name)?.getIn(["cluster", "server"]);
  const changes = [
    setNamed(document, "clusters", name, {
      cluster: {
        "certificate-authority-data": credentials.certificateAuthority,
        server,
        ...(proxyUrl === undefined ? {} : { "proxy-url": proxyUrl }),
      },
    }),
    setNamed(document, "users", name, {
      user: {
        "client-certificate-data": credentials.clientCertificate,
        "client-key-data": credentials.clientKey,
      },
    }),
    setNamed(document, "contexts", name, { context: { cluster: name, user: name } }, [
      ["context", "namespace"],
      ["context", "extensions"],
    ]),
  ];
  const current = document.get("current-context");
  const hadCurrent = typeof current === "string" && current !== "";
  if (!hadCurrent) document.set("current-context", name);
  return {
    text: document.toString({ lineWidth: 0 }),
    changed: !hadCurrent || changes.some(Boolean),
    replacedServer: typeof before === "string" && before !== server ? before : undefined,
    currentContext: hadCurrent ? current : name,
  };
}

/** Where a kubeconfig says that a cluster is reached. */
export interface KnownCluster {
  readonly server: string;
  readonly proxyUrl: string | undefined;
}

/** The cluster of a context; undefined when the kubeconfig does not have it. */
export function clusterOf(text: string, context: string): KnownCluster | undefined {
  const document = parseKubeconfig(text);
  const name = findNamed(document, "contexts", context)?.getIn(["context", "cluster"]);
  const cluster = typeof name === "string" ? findNamed(document, "clusters", name) : undefined;
  const server = cluster?.getIn(["cluster", "server"]);
  const proxyUrl = cluster?.getIn(["cluster", "proxy-url"]);
  if (typeof server !== "string") return undefined;
  return { server, proxyUrl: typeof proxyUrl === "string" ? proxyUrl : undefined };
}

/**
 * The same kubeconfig with another proxy for one context: how a task uses a tunnel of its own.
 * @param text a kubeconfig that has the context
 */
export function throughProxy(text: string, context: string, proxyUrl: string): string {
  const document = parseKubeconfig(text);
  const name = findNamed(document, "contexts", context)?.getIn(["context", "cluster"]);
  if (typeof name === "string") {
    findNamed(document, "clusters", name)?.setIn(["cluster", "proxy-url"], proxyUrl);
  }
  return document.toString({ lineWidth: 0 });
}

/**
 * The port on loopback where a person's own kubectl finds the tunnel to a cluster behind a jump host: always the same
 * for a context, so that the kubeconfig stays true.
 */
export function tunnelPort(context: string): number {
  let hash = 0;
  for (const char of context) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) % 1000;
  return 17_000 + hash;
}

const EMPTY = "apiVersion: v1\nkind: Config\nclusters: []\ncontexts: []\nusers: []\n";

type Section = "clusters" | "contexts" | "users";

function parseKubeconfig(text: string): Document {
  const document = parseDocument(text);
  const [error] = document.errors;
  const kind = isMap(document.contents) ? document.get("kind") : "";
  if (error === undefined && (kind === "Config" || kind === undefined)) return document;
  throw new TaskError({
    what: "The kubeconfig cannot be understood",
    why: error?.message ?? `It is no YAML document of kind Config`,
    todo: ["Repair it, or set KUBECONFIG to another file"],
    left: ["It was not changed"],
  });
}

function findNamed(document: Document, section: Section, name: string): YAMLMap | undefined {
  const list = document.get(section);
  if (!isSeq(list)) return undefined;
  return list.items.filter(isMap).find((item) => item.get("name") === name);
}

/** Set an entry of a section; values at the kept paths survive. Returns whether that changed anything. */
function setNamed(
  document: Document,
  section: Section,
  name: string,
  value: Readonly<Record<string, unknown>>,
  keep: readonly (readonly string[])[] = [],
): boolean {
  const entry = document.createNode({ name, ...value }) as YAMLMap;
  const before = findNamed(document, section, name);
  if (before === undefined) {
    if (!isSeq(document.get(section))) document.set(section, document.createNode([]));
    document.addIn([section], entry);
    const list = document.get(section);
    if (isSeq(list)) list.flow = false;
    return true;
  }
  for (const path of keep) {
    const kept = before.getIn(path, true);
    if (kept !== undefined) entry.setIn(path, kept);
  }
  if (sameData(before.toJSON(), entry.toJSON())) return false;
  before.items = entry.items;
  return true;
}

function sameData(one: unknown, other: unknown): boolean {
  return canonical(one) === canonical(other);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) =>
    each !== null && typeof each === "object" && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}
