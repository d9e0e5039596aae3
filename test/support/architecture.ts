import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";

/**
 * Who imports whom, and what is given out to nobody, read from the text of the modules. The code is formatted by
 * biome: an import or export stands at the beginning of a line and ends with a semicolon.
 */

/** The text of each module, by its path in the repository. */
export type Modules = ReadonlyMap<string, string>;

/** The TypeScript files of some folders; what lies in a folder `fixtures` is no code of ours. */
export function readModules(root: string, folders: readonly string[]): Modules {
  const paths = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".ts") && !file.split("/").includes("fixtures"))
      .map((file) => posix.join(folder, file)),
  );
  return new Map(paths.sort().map((path) => [path, readFileSync(join(root, path), "utf8")]));
}

interface Name {
  /** What it is called where it comes from. */
  readonly from: string;
  /** What it is called where it goes. */
  readonly to: string;
  readonly type: boolean;
}

interface Import {
  readonly file: string;
  /** The module it names. */
  readonly target: string;
  /** The module's own words, for messages. */
  readonly specifier: string;
  /** `export … from`: what it takes it gives out again. */
  readonly again: boolean;
  /** Undefined for the whole module: `import * as`, `export *`, `import()`. */
  readonly names: readonly Name[] | undefined;
}

const STATIC = /^(import|export)\s+(type\s+)?([^;"]*?)\s*from\s+"([^"]+)"/gm;
const WHOLE = /^import\s+"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm;

function importsOf(file: string, text: string): Import[] {
  const code = withoutComments(text);
  const local = (specifier: string): string => posix.join(posix.dirname(file), specifier);
  const found = [...code.matchAll(STATIC)].map(([, kind, type, clause = "", specifier = ""]): Import => {
    const whole = clause.includes("*");
    return {
      file,
      specifier,
      target: local(specifier),
      again: kind === "export",
      names: whole ? undefined : namesIn(clause, type !== undefined),
    };
  });
  const others = [...code.matchAll(WHOLE)].map(([, bare, dynamic]): Import => {
    const specifier = bare ?? dynamic ?? "";
    return { file, specifier, target: local(specifier), again: false, names: undefined };
  });
  return [...found, ...others].filter(({ specifier }) => specifier.startsWith("."));
}

/** The names of `{ a, b as c, type D }`. */
function namesIn(clause: string, allTypes: boolean): Name[] {
  const [, list = ""] = /\{([^}]*)\}/.exec(clause) ?? [];
  return list.split(",").flatMap((text) => {
    const [, type, from, to = from] = /^(type\s+)?(\w+)(?:\s+as\s+(\w+))?$/.exec(text.trim()) ?? [];
    return from === undefined || to === undefined ? [] : [{ from, to, type: allTypes || type !== undefined }];
  });
}

function withoutComments(text: string): string {
  return text.replace(/(^|\s)\/\*[\s\S]*?\*\//g, "$1").replace(/(^|\s)\/\/.*$/gm, "$1");
}

function allImports(modules: Modules): Import[] {
  return [...modules].flatMap(([file, text]) => importsOf(file, text));
}

function told({ file, specifier }: Import): string {
  return `${file} imports "${specifier}"`;
}

/** Imports of lib that lead into tasks, tests or benchmarks. */
export function upwardImports(modules: Modules): string[] {
  return allImports(modules)
    .filter(({ file, target }) => file.startsWith("lib/") && !target.startsWith("lib/"))
    .map(told);
}

/** Imports that go past the index of a folder which the importing file does not lie in. */
export function importsPastIndex(modules: Modules): string[] {
  return allImports(modules).flatMap((each) => {
    const { file, target } = each;
    for (let folder = posix.dirname(target); folder !== "."; folder = posix.dirname(folder)) {
      if (file.startsWith(`${folder}/`)) return [];
      const index = `${folder}/index.ts`;
      // A folder of lib has one, whether or not it is there yet.
      const closed = modules.has(index) || /^lib\/[^/]+$/.test(folder);
      if (closed && target !== index) return [`${told(each)}, past ${index}`];
    }
    return [];
  });
}

/** Folders of lib, and files directly in it, that need each other; imports of types count. */
export function cycles(modules: Modules): string[] {
  const edges = new Map<string, Map<string, string>>();
  for (const each of allImports(modules)) {
    const [from, to] = [partOf(each.file), partOf(each.target)];
    if (from === undefined || to === undefined || from === to) continue;
    const targets = edges.get(from) ?? new Map<string, string>();
    if (!targets.has(to)) targets.set(to, told(each));
    edges.set(from, targets);
  }
  const found: string[] = [];
  const done = new Set<string>();
  const walk = (part: string, path: readonly string[], reasons: readonly string[]): void => {
    const at = path.indexOf(part);
    if (at !== -1) {
      found.push([[...path.slice(at), part].join(" → "), ...reasons.slice(at)].join("\n  "));
      return;
    }
    if (done.has(part)) return;
    for (const [next, reason] of edges.get(part) ?? []) walk(next, [...path, part], [...reasons, reason]);
    done.add(part);
  };
  for (const part of edges.keys()) walk(part, [], []);
  return found;
}

/** The folder of lib that a file lies in, or the file itself where it lies directly in lib. */
function partOf(file: string): string | undefined {
  const [top, part] = file.split("/");
  return top === "lib" ? part : undefined;
}

/** Something a rule does not hold for. */
export interface Exception {
  /** A file, or a folder that ends with a slash. */
  readonly where: string;
  /** What of it is excepted. */
  readonly what: string;
  readonly reason: string;
}

const PROCESS = /\bprocess\.(?:stdout|stderr|exit)|(?<![\w.])console\.\w+/g;

/** Where lib prints or ends the process, and exceptions that nothing needs any more. */
export function printing(modules: Modules, exceptions: readonly Exception[]): string[] {
  return judged(
    [...modules].flatMap(([file, text]) =>
      file.startsWith("lib/")
        ? [...new Set(withoutComments(text).match(PROCESS))].map((what) => ({ where: file, what }))
        : [],
    ),
    exceptions,
    ({ where, what }) => `${where} uses ${what}`,
  );
}

const EXPORTED = /^export\s+(?:async\s+)?(?:abstract\s+)?(?:function\*?|const|let|class)\s+(\w+)/gm;

/** Values of lib and tasks that are given out and taken by no other file, and exceptions that nothing needs any more. */
export function deadExports(modules: Modules, exceptions: readonly Exception[]): string[] {
  const imports = new Map<string, Import[]>();
  for (const each of allImports(modules)) {
    imports.set(each.target, [...(imports.get(each.target) ?? []), each]);
  }
  const isTaken = (file: string, name: string): boolean =>
    (imports.get(file) ?? []).some(({ file: by, again, names }) => {
      const taken = names?.filter(({ from }) => from === name).map(({ to }) => to) ?? [name];
      if (again) return taken.some((to) => isTaken(by, to));
      if (names !== undefined) return taken.length > 0;
      // Of a whole module: whatever is mentioned there.
      return new RegExp(`\\b${name}\\b`).test(withoutComments(modules.get(by) ?? ""));
    });
  const given = [...modules].flatMap(([file, text]) => {
    if (!/^(lib|tasks)\//.test(file)) return [];
    const own = [...withoutComments(text).matchAll(EXPORTED)].map(([, name = ""]) => name);
    const again = importsOf(file, text)
      .filter((each) => each.again)
      .flatMap(({ names = [] }) => names.filter(({ type }) => !type).map(({ to }) => to));
    return [...own, ...again].map((what) => ({ where: file, what }));
  });
  return judged(
    given.filter(({ where, what }) => !isTaken(where, what)),
    exceptions,
    ({ where, what }) => `${where} exports ${what}, which no other file uses`,
  );
}

interface Finding {
  readonly where: string;
  readonly what: string;
}

/** The findings that no exception covers, and the exceptions that cover none. */
function judged(
  findings: readonly Finding[],
  exceptions: readonly Exception[],
  tell: (finding: Finding) => string,
): string[] {
  const covers = (exception: Exception, { where, what }: Finding): boolean =>
    exception.what === what &&
    (exception.where.endsWith("/") ? where.startsWith(exception.where) : where === exception.where);
  return [
    ...findings.filter((finding) => !exceptions.some((each) => covers(each, finding))).map(tell),
    ...exceptions
      .filter((each) => !findings.some((finding) => covers(each, finding)))
      .map(({ where, what }) => `the exception for ${what} in ${where} is not needed any more`),
  ];
}
