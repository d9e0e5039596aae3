import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { childEnv, run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";

/**
 * Coverage of lib/ and tasks/, commands and sandboxes that the tests start included: Node.js notes for each process
 * what it ran, c8 finds the lines of the sources by the source maps and adds the notes up.
 */

/** What we need to know of a process's notes; the rest is c8's. */
const NotesSchema = v.looseObject({
  result: v.array(v.looseObject({ url: v.string() })),
  "source-map-cache": v.optional(v.record(v.string(), v.unknown()), {}),
});
const CountSchema = v.object({ lines: v.object({ total: v.number(), covered: v.number() }) });
const SummarySchema = v.record(v.string(), CountSchema);

/** A working copy in which commands were run as a person runs them (working-copy.ts): its files are these files. */
const COPY = /"(file:\/\/)?\/[^"]*\/homelab-copy-\w+\/homelab\//g;

/**
 * Make the report: coverage/index.html, and what is returned.
 * @param raw folder that NODE_V8_COVERAGE named
 * @returns the covered lines of lib/ and tasks/, a line each
 */
export async function reportCoverage(raw: string): Promise<string> {
  for (const name of readdirSync(raw)) keepOurs(join(raw, name));
  const reports = dirname(raw);
  await run(
    process.execPath,
    [
      ...[join(ROOT, "node_modules", "c8", "bin", "c8.js"), "report"],
      ...["--temp-directory", raw, "--reports-dir", reports, "--merge-async", "--exclude-after-remap"],
      ...["--all", "--src", ROOT, "--include", "lib/**/*.ts", "--include", "tasks/**/*.ts"],
      ...["--reporter", "html", "--reporter", "json-summary"],
    ],
    { cwd: ROOT, env: childEnv({ NODE_V8_COVERAGE: undefined, NODE_OPTIONS: "--max-old-space-size=4096" }) },
  );
  const text = readFileSync(join(reports, "coverage-summary.json"), "utf8");
  const summary = Object.entries(v.parse(SummarySchema, JSON.parse(text)));
  const lines = ["lib", "tasks"].map((folder) => {
    const files = summary.filter(([file]) => file.startsWith(join(ROOT, folder, "/")));
    const sum = (of: "total" | "covered"): number =>
      files.reduce((count, [, { lines: each }]) => count + each[of], 0);
    const percent = ((sum("covered") / sum("total")) * 100).toFixed(1);
    return `${`${folder}/`.padEnd(7)} ${percent} % of the lines: ${sum("covered")} of ${sum("total")}\n`;
  });
  return ["\ncoverage (details in coverage/index.html)\n", ...lines].join("");
}

/** Leave in a process's notes what is about lib/ and tasks/, wherever it ran; without any, they go. */
function keepOurs(file: string): void {
  const text = readFileSync(file, "utf8").replace(COPY, `"$1${ROOT}/`);
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), NotesSchema), text);
  const isOurs = (url: string): boolean =>
    url.startsWith("file://") &&
    ["lib", "tasks"].some((folder) => fileURLToPath(url).startsWith(join(ROOT, folder, "/")));
  // Some were killed while they wrote.
  const notes = parsed.success ? parsed.output : { result: [], "source-map-cache": {} };
  const result = notes.result.filter(({ url }) => isOurs(url));
  const maps = Object.entries(notes["source-map-cache"]).filter(([url]) => isOurs(url));
  if (result.length === 0) rmSync(file);
  else writeFileSync(file, JSON.stringify({ result, "source-map-cache": Object.fromEntries(maps) }));
}
