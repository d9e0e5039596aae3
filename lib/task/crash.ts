import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** Let no crash write what is in our memory or environment to a file: neither ours nor a child's, which inherits the limit. */
export function leaveNoDumps(): void {
  // Whoever asked for reports (NODE_OPTIONS) would find the environment in them.
  const { report } = process;
  if (report !== undefined) {
    report.reportOnFatalError = false;
    report.reportOnSignal = false;
    report.reportOnUncaughtException = false;
  }
  if (process.platform !== "linux" || coreLimit() === "0") return;
  // Node.js cannot set its own limits. Where util-linux is missing, the limit stays as it was.
  spawnSync("prlimit", ["--pid", String(process.pid), "--core=0"], { stdio: "ignore" });
}

/** Bytes that a core dump of ours may have, as Linux says it. */
function coreLimit(): string | undefined {
  try {
    return /^Max core file size\s+(\S+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
  } catch {
    return undefined;
  }
}
