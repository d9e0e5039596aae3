/** An object of rendered manifests, as far as the checks before an apply need it. */
export interface ManifestObject {
  /** "apps"; empty for the core group. */
  readonly group: string;
  readonly kind: string;
  readonly name: string;
  /** undefined for what belongs to no namespace. */
  readonly namespace: string | undefined;
}

/**
 * The objects of what kustomize has rendered. Its output always has the same form, and is read line by line: parsing the
 * megabytes of Argo CD's resource types takes seconds.
 */
export function objectsIn(manifests: string): ManifestObject[] {
  return manifests.split(/^---$/m).flatMap((document) => {
    const top = (key: string): string | undefined =>
      plain(new RegExp(`^${key}: (.*)$`, "m").exec(document)?.[1]);
    const [, metadata = ""] = /^metadata:\n((?: .*\n?)*)/m.exec(document) ?? [];
    const inMetadata = (key: string): string | undefined =>
      plain(new RegExp(`^ {2}${key}: (.*)$`, "m").exec(metadata)?.[1]);
    const [apiVersion, kind, name] = [top("apiVersion"), top("kind"), inMetadata("name")];
    if (apiVersion === undefined || kind === undefined || name === undefined) return [];
    const group = apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
    return [{ group, kind, name, namespace: inMetadata("namespace") }];
  });
}

/** The name under which a kind's objects are asked for, as Kubernetes itself guesses it: "networkpolicies". */
export function resourceOf(kind: string): string {
  const word = kind.toLowerCase();
  if (word.endsWith("s")) return `${word}es`;
  return word.endsWith("y") ? `${word.slice(0, -1)}ies` : `${word}s`;
}

function plain(text: string | undefined): string | undefined {
  return text?.trim().replace(/^(["'])(.*)\1$/, "$2");
}
