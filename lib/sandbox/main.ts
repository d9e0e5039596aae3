import { resolve } from "node:path";
import { messageOf } from "../errors.ts";
import { AlreadyServedError, claimDirectory, EXIT_ALREADY_SERVED } from "./instance-lock.ts";

/**
 * The sandbox's process: main.ts DIRECTORY [RELEASE], where RELEASE is 8 or 9, of Proxmox VE. Prints "ready" on stdout once it serves; ends on SIGTERM and SIGINT, and
 * when its stdin ends, which it does when the process that started it goes away. A line "keep" on stdin makes it stay.
 */

async function main(dir: string, release: 8 | 9): Promise<void> {
  const giveBack = claimDirectory(dir);
  try {
    // Loaded after the claim: whoever comes second is told at once.
    const { serveSandbox } = await import("./serve.ts");
    const { sandboxParts } = await import("./parts.ts");
    const server = await serveSandbox(dir, sandboxParts(), release);
    process.stdout.write("ready\n");
    await untilTold();
    await server.close();
  } finally {
    giveBack();
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
const [dir = ".", release] = process.argv.slice(2);
main(resolve(dir), release === "8" ? 8 : 9).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exit(error instanceof AlreadyServedError ? EXIT_ALREADY_SERVED : 1);
  },
);
