import { rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryFolder } from "../temporary.ts";

const open = new Set<string>();

/** A folder for files that hold secrets: plan, variables. Nobody else can read it; it goes with the process at the latest. */
export class Scratch {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static open(): Scratch {
    const path = temporaryFolder("homelab-tofu");
    if (open.size === 0) process.once("exit", removeAll);
    open.add(path);
    return new Scratch(path);
  }

  /** Write a file that only its owner can read, and tell where it is. */
  async write(name: string, content: string): Promise<string> {
    const file = this.file(name);
    await writeFile(file, content, { mode: 0o600 });
    return file;
  }

  file(name: string): string {
    return join(this.path, name);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
    open.delete(this.path);
    if (open.size === 0) process.off("exit", removeAll);
  }
}

function removeAll(): void {
  for (const path of open) rmSync(path, { recursive: true, force: true });
}
