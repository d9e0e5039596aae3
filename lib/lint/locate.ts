import { posix } from "node:path";
import { type Document, isMap, isNode, LineCounter, parseAllDocuments } from "yaml";

/** A manifest's source. */
export interface SourceFile {
  /** Relative to the repository. */
  readonly file: string;
  readonly text: string;
}

/** What tells an object from all others of a cluster. */
export interface Identity {
  readonly apiVersion: string;
  readonly kind: string;
  /** Undefined where it is not written: kustomize or the one who applies it chooses it. */
  readonly namespace: string | undefined;
  readonly name: string;
}

/** An object as its source declares it. */
export interface DeclaredObject extends Identity {
  readonly file: string;
  /** The line of a field, or of what is nearest around it. */
  lineOf(path: readonly string[]): number;
}

/** The Kubernetes objects that files declare; files that are no YAML declare none. */
export function declaredObjects(sources: readonly SourceFile[]): DeclaredObject[] {
  return documentsOf(sources).flatMap(({ file, document, lines }) => {
    const identity = identityOf(document);
    if (identity === undefined) return [];
    const lineOf = (path: readonly string[]): number => {
      for (let length = path.length; length > 0; length -= 1) {
        const around: unknown = document.getIn(path.slice(0, length - 1), true);
        const last = path[length - 1] ?? "";
        const key = isMap(around)
          ? around.items.find((pair) => String(pair.key) === last)?.key
          : document.getIn(path.slice(0, length), true);
        if (isNode(key) && key.range) return lines.linePos(key.range[0]).line;
      }
      return firstLine(document, lines);
    };
    return [{ file, ...identity, lineOf }];
  });
}

/** Why documents are no objects of Kubernetes, each with its file and line: the API server would refuse them. */
export function notObjects(sources: readonly SourceFile[]): string[] {
  return documentsOf(sources).flatMap(({ file, document, lines }) => {
    const [broken] = document.errors;
    if (broken !== undefined) {
      const [words = ""] = broken.message.split(/ at line \d+|\n/);
      return [`${file}:${lines.linePos(broken.pos[0]).line}  this is not YAML: ${words}`];
    }
    // Nothing but comments, or nothing at all.
    if (document.contents === null || document.toJS() === null) return [];
    const isList = isMap(document.contents) && document.get("kind") === "List";
    const needed = [["apiVersion"], ["kind"], ...(isList ? [] : [["metadata", "name"]])];
    const missing = needed.filter((path) => !isText(fieldOf(document, path))).map((path) => path.join("."));
    if (missing.length === 0) return [];
    return [
      `${file}:${firstLine(document, lines)}  no object of Kubernetes: ${missing.join(" and ")} missing`,
    ];
  });
}

/**
 * Those of some objects that are among rendered documents.
 * @param texts the documents, one each
 */
export function isRendered(
  objects: readonly DeclaredObject[],
  texts: readonly string[],
): Set<DeclaredObject> {
  // Megabytes are rendered, most of it objects of others: only what names one of these is worth parsing.
  const rendered = texts
    .filter((text) => objects.some(({ kind, name }) => text.includes(kind) && text.includes(name)))
    .flatMap((text) => parseAllDocuments(text).flatMap((document) => identityOf(document) ?? []));
  return new Set(objects.filter((object) => rendered.some((each) => isSame(object, each))));
}

/** Whether a file is a part of a Helm chart, or values for one. */
export function isChartFile(file: string, files: readonly string[]): boolean {
  if (/^(?:.*[-.])?values(?:[-.].*)?\.ya?ml$/.test(posix.basename(file))) return true;
  const charts = files
    .filter((each) => posix.basename(each) === "Chart.yaml")
    .map((each) => posix.dirname(each));
  return charts.some((folder) => file.startsWith(`${folder}/`));
}

/** kustomize fills in the namespace of those that have none. */
function isSame(declared: Identity, rendered: Identity): boolean {
  return (
    declared.apiVersion === rendered.apiVersion &&
    declared.kind === rendered.kind &&
    declared.name === rendered.name &&
    (declared.namespace === undefined || declared.namespace === rendered.namespace)
  );
}

interface SourceDocument {
  readonly file: string;
  readonly document: Document;
  readonly lines: LineCounter;
}

function documentsOf(sources: readonly SourceFile[]): SourceDocument[] {
  return sources.flatMap(({ file, text }) => {
    const lines = new LineCounter();
    return parseAllDocuments(text, { lineCounter: lines }).map((document) => ({ file, document, lines }));
  });
}

function identityOf(document: Document): Identity | undefined {
  const [apiVersion, kind, name] = [["apiVersion"], ["kind"], ["metadata", "name"]].map((path) =>
    fieldOf(document, path),
  );
  if (!isText(apiVersion) || !isText(kind) || !isText(name)) return undefined;
  const namespace = fieldOf(document, ["metadata", "namespace"]);
  return { apiVersion, kind, name, namespace: isText(namespace) ? namespace : undefined };
}

function fieldOf(document: Document, path: readonly string[]): unknown {
  return isMap(document.contents) ? document.getIn(path) : undefined;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function firstLine(document: Document, lines: LineCounter): number {
  return lines.linePos(document.contents?.range?.[0] ?? 0).line;
}
