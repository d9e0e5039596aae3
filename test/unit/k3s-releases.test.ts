import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { after, before, test } from "node:test";
import { UsageError } from "../../lib/errors.ts";
import { checkK3sRelease, nearest } from "../../lib/k3s/index.ts";

let server: Server;
let base: string;
before(async () => {
  server = createServer((request, response) => {
    if (request.url === "/v1.35.6%2Bk3s1/sha256sum-amd64.txt") response.end("sums");
    else if (request.url === "/channels")
      response.end(JSON.stringify({ data: [{ latest: "v1.34.9+k3s2" }, { latest: "v1.36.1+k3s1" }] }));
    else response.writeHead(404, "Not Found").end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  const address = server.address();
  base = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
});
after(() => {
  server.close();
  server.closeAllConnections();
});

const options = () => ({
  signal: new AbortController().signal,
  releases: base,
  channels: `${base}/channels`,
});

test("a version that was released is good", async () => {
  assert.equal(await checkK3sRelease("v1.35.6+k3s1", "amd64", options()), "released");
});

test("a version that was not is refused, with the nearest that was", async () => {
  await assert.rejects(checkK3sRelease("v1.34.99+k3s1", "amd64", options()), (error: unknown) => {
    assert.ok(error instanceof UsageError);
    assert.equal(error.what, "There is no k3s release v1.34.99+k3s1 for amd64");
    assert.match(error.todo.join("\n"), /K3S_VERSION=v1\.34\.9\+k3s2[\s\S]*in the form v1\.35\.6\+k3s1/);
    return true;
  });
});

test("a malformed version is refused with the form that is valid", async () => {
  await assert.rejects(checkK3sRelease("1.35.6", "amd64", options()), (error: unknown) => {
    assert.ok(error instanceof UsageError);
    assert.match(error.why ?? "", /vMAJOR\.MINOR\.PATCH\+k3sREVISION/);
    return true;
  });
});

test("where the publisher does not answer, that is said and nothing is refused", async () => {
  const found = await checkK3sRelease("v1.35.6+k3s1", "amd64", {
    ...options(),
    releases: "http://127.0.0.1:1",
  });
  assert.ok(found !== "released");
  assert.match(found.unknown, /cannot be reached/);
});

test("nearest prefers the same line", () => {
  const known = ["v1.28.15+k3s1", "v1.35.6+k3s1", "v1.36.1+k3s1"];
  assert.equal(nearest("v1.28.99+k3s1", known), "v1.28.15+k3s1");
  assert.equal(nearest("v1.40.0+k3s1", known), "v1.36.1+k3s1");
});
