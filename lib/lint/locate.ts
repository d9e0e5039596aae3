import { isMap, isNode, LineCounter, parseAllDocuments } from "yaml";

/** A manifest's source. */
export interface SourceFile {
  /** Relative to the repository. */
  readonly file: string;
  readonly text: string;
}

/** An object as its source declares it. */
export interface DeclaredObject {
  readonly file: string;
  readonly kind: string;
  readonly name: string;
  /** The line of a field, or of what is nearest around it. */
  lineOf(path: readonly string[]): number;
}

/** The Kubernetes objects that files declare; files that are no YAML declare none. */
export function declaredObjects(sources: readonly SourceFile[]): DeclaredObject[] {
  return sources.flatMap(({ file, text }) => {
    const lines = new LineCounter();
    return parseAllDocuments(text, { lineCounter: lines }).flatMap((document) => {
      const kind: unknown = document.get("kind");
      const name: unknown = document.getIn(["metadata", "name"]);
      if (typeof kind !== "string" || typeof name !== "string" || !document.has("apiVersion")) return [];
      const lineOf = (path: readonly string[]): number => {
        for (let length = path.length; length > 0; length -= 1) {
          const around: unknown = document.getIn(path.slice(0, length - 1), true);
          const last = path[length - 1] ?? "";
          const key = isMap(around)
            ? around.items.find((pair) => String(pair.key) === last)?.key
            : document.getIn(path.slice(0, length), true);
          if (isNode(key) && key.range) return lines.linePos(key.range[0]).line;
        }
        return lines.linePos(document.contents?.range?.[0] ?? 0).line;
      };
      return [{ file, kind, name, lineOf }];
    });
  });
}
