import { resolve } from "node:path";
import { messageOf } from "../errors.ts";
import { AlreadyServedError, claimDirectory, EXIT_ALREADY_SERVED } from "./instance-lock.ts";

/**
 * The sandbox's process: main.ts DIRECTORY. Prints "ready" on stdout once it serves; ends on SIGTERM and SIGINT, and
 * when its stdin ends, which it does when the process that started it goes away. A line "keep" on stdin makes it stay.
 */

async function main(dir: string): Promise<void> {
  const release = claimDirectory(dir);
  try {
    // Loaded after the claim: whoever comes second is told at once.
    const { serveSandbox } = await import("./serve.ts");
    const { sandboxParts } = await import("./parts.ts");
    const server = await serveSandbox(dir, sandboxParts());
    process.stdout.write("ready\n");
    await untilTold();
    await server.close();
  } finally {
    release();
  }
}

/** Resolves when the sandbox is to end. */
async function untilTold(): Promise<void> {
  await new Promise<void>((end) => {
    let kept = false;
    process.once("SIGTERM", () => end());
    process.once("SIGINT", () => end());
    process.stdin.setEncoding("utf8");
    process.stdin.on("data", (text: string) => {
      if (text.includes("keep")) kept = true;
    });
    process.stdin.on("close", () => {
      if (!kept) end();
    });
    process.stdin.resume();
  });
}

// Whoever reads our output may be gone while we stay.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});
const [dir = "."] = process.argv.slice(2);
main(resolve(dir)).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exit(error instanceof AlreadyServedError ? EXIT_ALREADY_SERVED : 1);
  },
);
