import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { ROOT } from "../lib/task/index.ts";
import { reportCoverage } from "./support/coverage.ts";

/**
 * Runs tests: test/run.ts [--coverage] FOLDER|FILE|FLAG…
 * FOLDER is unit, properties or integration; where a FILE is given the folders do not count, so that
 * `npm run test:coverage -- test/unit/lock.test.ts` does what one means. A FLAG goes to `node --test`.
 */

/** Clusters and emulated machines: more than two at once would need more memory than most have. */
const HEAVY_AT_ONCE = 2;
/** What only counts and compares: one more than there are processors, since a test that waits keeps one of them free. */
const LIGHT_AT_ONCE = availableParallelism() + 1;
const TIMEOUT_MS = 900_000;

async function main(args: readonly string[]): Promise<number> {
  const withCoverage = args.includes("--coverage");
  const flags = args.filter((arg) => arg.startsWith("--") && arg !== "--coverage");
  const named = args.filter((arg) => !arg.startsWith("--"));
  const given = named.filter((arg) => existsSync(arg));
  const files = given.length > 0 ? given : named.flatMap(testsIn);
  const isLight = files.every((file) => file.includes("test/unit/"));
  const raw = join(ROOT, "coverage", "raw");
  if (withCoverage) {
    rmSync(join(ROOT, "coverage"), { recursive: true, force: true });
    mkdirSync(raw, { recursive: true });
  }
  const code = await node(
    [
      "--import",
      "tsx/esm",
      "--test",
      `--test-concurrency=${isLight ? LIGHT_AT_ONCE : HEAVY_AT_ONCE}`,
      `--test-timeout=${TIMEOUT_MS}`,
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      "--test-reporter=./test/support/properties/mutation-reporter.mjs",
      "--test-reporter-destination=stdout",
      ...flags,
      ...files,
    ],
    withCoverage ? { NODE_V8_COVERAGE: raw } : {},
  );
  if (withCoverage) process.stdout.write(await reportCoverage(raw));
  return code;
}

function testsIn(folder: string): string[] {
  return readdirSync(join(ROOT, "test", folder))
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => `test/${folder}/${name}`);
}

async function node(args: readonly string[], env: Readonly<Record<string, string>>): Promise<number> {
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    stdio: "inherit",
    env: { ...process.env, ...env },
  });
  // Ctrl-C reaches it by itself: it ends in order, and so do we.
  process.on("SIGINT", () => {});
  return await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve(code ?? 1));
  });
}

process.exitCode = await main(process.argv.slice(2));
