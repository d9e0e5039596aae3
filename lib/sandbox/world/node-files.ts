import { realpathSync } from "node:fs";
import { dirname, join, posix, sep } from "node:path";
import { isMissing } from "./atomic-file.ts";
import { type Interference, undisturbed } from "./interference.ts";

/** A path on the node led out of the node's file system. */
export class OutsideNodeError extends Error {
  override readonly name = "OutsideNodeError";
}

/** The node's file system, which is a directory of the host. */
export class NodeFiles {
  /** Absolute host path of the node's "/". */
  readonly root: string;
  readonly #interference: Pick<Interference, "roomFor">;

  constructor(root: string, interference: Pick<Interference, "roomFor"> = undisturbed) {
    this.root = realpathSync(root);
    this.#interference = interference;
  }

  /**
   * How many bytes a file may come to hold; undefined for as many as the host has room for. To be asked once for each
   * file that is opened for writing.
   * @param nodePath absolute
   */
  roomFor(nodePath: string): number | undefined {
    return this.#interference.roomFor(nodePath);
  }

  /**
   * The host's path of a path on the node. Neither ".." nor a symbolic link leads out of the node.
   * @param nodePath absolute, for example "/var/lib/vz/template/iso"; it need not exist
   * @throws {OutsideNodeError} for a relative path, or when a symbolic link points outside
   */
  toHost(nodePath: string): string {
    if (!posix.isAbsolute(nodePath) || nodePath.includes("\0")) {
      throw new OutsideNodeError(`not an absolute path: ${nodePath}`);
    }
    const host = join(this.root, posix.normalize(nodePath));
    const real = nearestReal(host);
    if (real !== this.root && !real.startsWith(this.root + sep)) {
      throw new OutsideNodeError(`${nodePath} leads out of the node's file system`);
    }
    return host;
  }

  /** The node's path of a host path below its root. */
  toNode(hostPath: string): string {
    return hostPath === this.root ? "/" : hostPath.slice(this.root.length);
  }
}

/** The real path of the path itself, or of the nearest directory above it that exists. */
function nearestReal(path: string): string {
  for (let current = path; ; current = dirname(current)) {
    try {
      return realpathSync(current);
    } catch (error) {
      if (!isMissing(error) || current === dirname(current)) throw error;
    }
  }
}
