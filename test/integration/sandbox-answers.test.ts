import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { createDispatch, serveApi } from "../../lib/sandbox/api/index.ts";
import { type Dispatch, ROOT } from "../../lib/sandbox/calls.ts";
import { emptyGuests } from "../../lib/sandbox/hooks.ts";
import type { World } from "../../lib/sandbox/world/index.ts";
import { type AnswerSchema, deviations, realAnswers } from "../support/contract/answers.ts";
import { recordedWorld } from "../support/contract/recorded-world.ts";
import { recordingsMissing } from "../support/contract/recordings.ts";

/** Each route that is read, with what stands for its parameters. */
const READ: readonly (readonly [string, ...(readonly string[])])[] = [
  ["/version"],
  ["/access/acl"],
  ["/access/domains"],
  ["/access/permissions"],
  ["/access/roles"],
  ["/access/roles/{roleid}", "IaC"],
  ["/access/users"],
  ["/access/users/{userid}", "automation@pve"],
  ["/access/users/{userid}/token", "automation@pve"],
  ["/access/users/{userid}/token/{tokenid}", "automation@pve", "iac"],
  ["/cluster/nextid"],
  ["/cluster/options"],
  ["/cluster/resources"],
  ["/cluster/status"],
  ["/cluster/tasks"],
  ["/nodes"],
  ["/nodes/{node}/certificates/info", "vm"],
  ["/nodes/{node}/dns", "vm"],
  ["/nodes/{node}/network", "vm"],
  ["/nodes/{node}/qemu", "vm"],
  ["/nodes/{node}/qemu/{vmid}/config", "vm", "131"],
  ["/nodes/{node}/qemu/{vmid}/pending", "vm", "131"],
  ["/nodes/{node}/qemu/{vmid}/status/current", "vm", "131"],
  ["/nodes/{node}/status", "vm"],
  ["/nodes/{node}/storage", "vm"],
  ["/nodes/{node}/storage/{storage}/content", "vm", "local"],
  ["/nodes/{node}/storage/{storage}/content", "vm", "vmdata"],
  ["/nodes/{node}/storage/{storage}/status", "vm", "local"],
  ["/nodes/{node}/tasks", "vm"],
  ["/nodes/{node}/time", "vm"],
  ["/nodes/{node}/version", "vm"],
  ["/pools"],
  ["/storage"],
  ["/storage/{storage}", "local"],
];

describe("the sandbox answers as the API's schema says", { skip: recordingsMissing }, () => {
  const dir = mkdtempSync(join(tmpdir(), "homelab-answers-"));
  let world: World;
  let dispatch: Dispatch;
  let schemas: ReadonlyMap<string, AnswerSchema>;
  let close: () => Promise<void>;

  before(async () => {
    schemas = realAnswers();
    world = await recordedWorld(dir, { stopped: [9000, 9002], running: [131] }, 0);
    dispatch = createDispatch(world, emptyGuests);
    // Makes the node's certificates.
    ({ close } = await serveApi(world, dispatch));
    const { task } = await dispatch({ method: "POST", path: "/nodes/vm/qemu/131/status/stop", caller: ROOT });
    await world.tasks.finished(task?.upid ?? "");
  });
  after(async () => {
    await close?.();
    rmSync(dir, { recursive: true, force: true });
  });

  for (const [template, ...values] of READ) {
    test(`GET ${template} ${values.join(" ")}`, async () => {
      const schema = schemas.get(`GET ${template}`);
      assert.ok(schema);
      let at = 0;
      const path = template.replace(/\{\w+\}/g, () => values[at++] ?? "");
      const { data } = await dispatch({ method: "GET", path, caller: ROOT });
      assert.deepEqual(deviations(data, schema), []);
      if (Array.isArray(data) && template !== "/pools") assert.notEqual(data.length, 0);
    });
  }

  test("a storage's content types are told, import among them", async () => {
    const { data } = await dispatch({ method: "GET", path: "/nodes/vm/storage/local/status", caller: ROOT });
    assert.ok((data as { content: string }).content.split(",").includes("import"));
  });

  test("the node's certificate, with what it is good for", async () => {
    const { data } = await dispatch({ method: "GET", path: "/nodes/vm/certificates/info", caller: ROOT });
    const own = (data as { filename: string; san: string[]; notafter: number; fingerprint: string }[]).find(
      ({ filename }) => filename === "pve-ssl.pem",
    );
    assert.deepEqual(own?.san.includes("127.0.0.1") && own.san.includes("localhost"), true);
    assert.ok((own?.notafter ?? 0) > Date.now() / 1000);
    const nodes = await dispatch({ method: "GET", path: "/nodes", caller: ROOT });
    assert.equal((nodes.data as { ssl_fingerprint: string }[])[0]?.ssl_fingerprint, own?.fingerprint);
  });
});
