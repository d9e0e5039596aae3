import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { TaskError } from "../../lib/errors.ts";
import {
  type IsoOptions,
  newestMinimal,
  obtainIso,
  parseChecksums,
  resolveIso,
} from "../../lib/iso/index.ts";

const ISO = Buffer.from("the installer");
const SHA = createHash("sha256").update(ISO).digest("hex");
const OLD = "0".repeat(64);

let dir: string;
let server: Server;
let folder: string;
let failures = 0;
let requests: string[] = [];
let checksums = "";
const said: string[] = [];

const options = (): IsoOptions => ({
  signal: new AbortController().signal,
  output: (line) => said.push(line),
  firstPauseMs: 1,
  folder,
});

before(async () => {
  dir = mkdtempSync(join(tmpdir(), "iso-"));
  server = createServer((request, response) => {
    requests.push(request.url ?? "");
    if (failures > 0) {
      failures -= 1;
      response.writeHead(503, "Service Unavailable").end();
    } else if (request.url === "/9/CHECKSUM") response.end(checksums);
    else if (request.url === "/9/AlmaLinux-9.6-x86_64-minimal.iso") response.end(ISO);
    else response.writeHead(404, "Not Found").end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  folder = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}/9`;
});
after(() => {
  server.close();
  server.closeAllConnections();
  rmSync(dir, { recursive: true, force: true });
});
beforeEach(() => {
  failures = 0;
  requests = [];
  checksums = [
    `# AlmaLinux-9.5-x86_64-minimal.iso: 13 bytes`,
    `SHA256 (AlmaLinux-9.5-x86_64-minimal.iso) = ${OLD}`,
    `SHA256 (AlmaLinux-9.6-x86_64-minimal.iso) = ${SHA}`,
    `SHA256 (AlmaLinux-9.6-x86_64-dvd.iso) = ${OLD}`,
    `SHA256 (AlmaLinux-9-latest-x86_64-minimal.iso) = ${SHA}`,
  ].join("\n");
});

describe("resolveIso", () => {
  test("takes the newest numbered Minimal ISO of the publisher", async () => {
    assert.deepEqual(await resolveIso({ major: "9", arch: "amd64" }, options()), {
      source: `${folder}/AlmaLinux-9.6-x86_64-minimal.iso`,
      fileName: "AlmaLinux-9.6-x86_64-minimal.iso",
      sha256: SHA,
    });
  });

  test("asks nobody when address and checksum are given", async () => {
    const iso = await resolveIso(
      { major: "9", arch: "amd64", url: "https://example.org/a%20b.iso", checksum: `sha256:${SHA}` },
      options(),
    );
    assert.deepEqual(iso, { source: "https://example.org/a%20b.iso", fileName: "a b.iso", sha256: SHA });
    assert.deepEqual(requests, []);
  });

  test("looks for the checksum beside a given address", async () => {
    const url = `${folder}/AlmaLinux-9.5-x86_64-minimal.iso`;
    assert.equal((await resolveIso({ major: "9", arch: "amd64", url }, options())).sha256, OLD);
  });

  test("takes a local file's checksum from the publisher, by its name", async () => {
    const url = join(dir, "AlmaLinux-9.6-x86_64-minimal.iso");
    assert.deepEqual(await resolveIso({ major: "9", arch: "amd64", url }, options()), {
      source: url,
      fileName: "AlmaLinux-9.6-x86_64-minimal.iso",
      sha256: SHA,
    });
  });

  test("does not trust a file that nobody lists", async () => {
    const url = join(dir, "mine.iso");
    await assert.rejects(resolveIso({ major: "9", arch: "amd64", url }, options()), (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.equal(error.what, "The publisher lists no checksum for mine.iso");
      assert.match(error.todo.join("\n"), /ALMA_ISO_CHECKSUM=sha256:/);
      return true;
    });
  });

  test("tries four times with pauses that double, then says how to go on by hand", async () => {
    failures = 99;
    said.length = 0;
    await assert.rejects(resolveIso({ major: "9", arch: "amd64" }, options()), (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.equal(error.what, `${folder}/CHECKSUM cannot be had`);
      assert.match(error.why ?? "", /503 Service Unavailable/);
      assert.match(error.todo.join("\n"), /\$ curl -LO https:[\s\S]*ALMA_ISO_URL=\/path/);
      assert.deepEqual(error.left, ["Nothing was built"]);
      return true;
    });
    assert.equal(requests.length, 4);
    assert.deepEqual(
      said.map((line) => /again in (\S+) s/.exec(line)?.[1]),
      ["0.001", "0.002", "0.004"],
    );
  });

  test("an architecture without an ISO is a clear refusal", async () => {
    await assert.rejects(resolveIso({ major: "9", arch: "arm64" }, options()), (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.equal(error.what, "AlmaLinux publishes no Minimal ISO of version 9 for arm64");
      return true;
    });
  });
});

describe("obtainIso", () => {
  const iso = () => ({
    source: `${folder}/AlmaLinux-9.6-x86_64-minimal.iso`,
    fileName: "AlmaLinux-9.6-x86_64-minimal.iso",
    sha256: SHA,
  });

  test("downloads once, after failures, and keeps the file", async () => {
    failures = 2;
    const cache = join(dir, "cache");
    const path = await obtainIso(iso(), cache, options());
    assert.deepEqual(readFileSync(path), ISO);
    assert.equal(requests.length, 3);
    assert.equal(await obtainIso(iso(), cache, options()), path);
    assert.equal(requests.length, 3);
  });

  test("downloads a damaged one again", async () => {
    const cache = join(dir, "damaged");
    const path = await obtainIso(iso(), cache, options());
    writeFileSync(path, "damaged");
    assert.deepEqual(readFileSync(await obtainIso(iso(), cache, options())), ISO);
  });

  test("keeps another file aside and shows both checksums", async () => {
    const cache = join(dir, "mismatch");
    await assert.rejects(obtainIso({ ...iso(), sha256: OLD }, cache, options()), (error: unknown) => {
      assert.ok(error instanceof TaskError);
      assert.match(error.why ?? "", new RegExp(`${SHA}[\\s\\S]*${OLD}`));
      assert.match(error.left.join("\n"), /What came is kept in .*\.rejected\nNothing was built/);
      return true;
    });
    assert.deepEqual(
      readdirSync(cache).map((name) => name.replace(/^.*iso/, "")),
      [".rejected"],
    );
  });

  test("takes a local file as it is, and never touches one that is wrong", async () => {
    const source = join(dir, "local.iso");
    writeFileSync(source, ISO);
    assert.equal(await obtainIso({ ...iso(), source }, dir, options()), source);
    await assert.rejects(obtainIso({ ...iso(), source, sha256: OLD }, dir, options()), TaskError);
    assert.equal(existsSync(source), true);
  });
});

test("checksum files in both of their forms are understood", () => {
  const text = `SHA256 (a.iso) = ${SHA.toUpperCase()}\n${OLD} *dir/b.iso\n${OLD}  c.iso\nMD5 (d.iso) = 00\n`;
  assert.deepEqual(
    [...parseChecksums(text)],
    [
      ["a.iso", SHA],
      ["b.iso", OLD],
      ["c.iso", OLD],
    ],
  );
});

test("a respin of the same release is newer than the release", () => {
  const listed = new Map([
    ["AlmaLinux-9.6-x86_64-minimal.iso", OLD],
    ["AlmaLinux-9.6-20260101-x86_64-minimal.iso", SHA],
    ["AlmaLinux-9.10-x86_64-minimal.iso", "1".repeat(64)],
  ]);
  assert.equal(newestMinimal(listed, "9", "amd64")?.sha256, "1".repeat(64));
  listed.delete("AlmaLinux-9.10-x86_64-minimal.iso");
  assert.equal(newestMinimal(listed, "9", "amd64")?.sha256, SHA);
});
