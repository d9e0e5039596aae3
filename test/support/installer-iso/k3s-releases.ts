import { createHash } from "node:crypto";
import { createServer } from "node:http";

/** A server that has one k3s release, as GitHub has it. */
export interface K3sReleases {
  /** Where a guest on QEMU's user network finds it. */
  readonly guestUrl: string;
  /** Paths that were asked for, in order. */
  readonly asked: readonly string[];
  close(): Promise<void>;
}

/** QEMU's user network shows the host's loopback there. */
const HOST_IN_GUEST = "10.0.2.2";

/**
 * Serve a release whose k3s only tells its version, to a guest that reaches nothing else.
 * @param version such as v1.35.6+k3s1
 * @param trouble a shell command that k3s runs first; other bytes than its release has the checksum of
 */
export async function serveK3sRelease(
  version: string,
  trouble: { readonly runs?: string; readonly damaged?: boolean } = {},
): Promise<K3sReleases> {
  const k3s = `#!/bin/sh\n${trouble.runs ?? ":"}\necho "k3s version ${version} (00000000)"\n`;
  const files: Record<string, Buffer> = {
    k3s: Buffer.from(k3s),
    "k3s-airgap-images-amd64.tar.zst": Buffer.alloc(4 * 1024 ** 2, "images of the release "),
  };
  const checksums = Object.entries(files).map(
    ([name, content]) => `${createHash("sha256").update(content).digest("hex")}  ${name}\n`,
  );
  files["sha256sum-amd64.txt"] = Buffer.from(checksums.join(""));
  if (trouble.damaged) files.k3s = Buffer.from(`${k3s}# damaged on its way\n`);
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "");
    asked.push(path);
    const [, release, name = ""] = path.split("/");
    const content = release === version ? files[name] : undefined;
    response.statusCode = content === undefined ? 404 : 200;
    response.end(content ?? "Not Found\n");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return {
    guestUrl: `http://${HOST_IN_GUEST}:${address.port}`,
    asked,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
