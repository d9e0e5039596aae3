import assert from "node:assert/strict";
import { appendFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import fc from "fast-check";
import { ARCHITECTURES } from "../../lib/image-name.ts";
import { childEnv, run } from "../../lib/process.ts";
import { createSparseQcow2 } from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { ROOT } from "../../lib/task/index.ts";
import { upload } from "../../tasks/upload-image.ts";
import { mutantOf } from "../support/properties/mutant.ts";
import { changed, notices } from "../support/properties/mutation.ts";
import { REPEAT, RUNS, SEED } from "../support/properties/seed.ts";
import {
  type Upload,
  type Uploaded,
  uploadHere,
  uploadViolations,
} from "../support/properties/upload-check.ts";
import { PveApi } from "../support/pve.ts";

/** Generated images and versions go to an embedded node, over real SSH or its API, by the task's own code and by the command itself. */

const dir = mkdtempSync(join(tmpdir(), "homelab-upload-properties-"));
const GIB = 1024 ** 3;
/** A process for each of them is dear. */
const COMMANDS = 3;
const AT_ONCE = 4;

const MUTATIONS: readonly (readonly [title: string, from: RegExp, to: string])[] = [
  ["the file's name is printed", /context\.result\(request\.name,/, "context.result(request.file,"],
  ["nothing is printed", /context\.result\(request\.name,/, 'context.result("",'],
  ["the VM stays a VM", /await \w+\.template\(plan\.vmid, \{ signal \}\)/, "await undefined"],
  [
    "the template has another name",
    /uploadSteps\(request, /,
    'uploadSteps({ ...request, name: request.name.replace("-v", "-v9") }, ',
  ],
];

let sandbox: Sandbox;
let pve: PveApi;
let uploads: readonly Upload[];
/** For the broken copies of the task, one each. */
let others: readonly Upload[];

before(async () => {
  sandbox = await startSandbox({ dir: join(dir, "sandbox") });
  pve = new PveApi(sandbox.endpoints);
  const all = await generated(RUNS + MUTATIONS.length);
  uploads = all.slice(0, RUNS);
  others = all.slice(RUNS);
});

after(async () => {
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

const image = fc.record({
  alma: fc.integer({ min: 8, max: 10 }),
  arch: fc.constantFrom(...ARCHITECTURES),
  kubernetes: fc
    .tuple(fc.constant(1), fc.integer({ min: 20, max: 99 }), fc.nat(30))
    .map((parts) => parts.join(".")),
  release: fc.integer({ min: 1, max: 99_999 }),
  // The embedded node has no more room than the machine.
  gigabytes: fc.integer({ min: 1, max: 4 }),
  via: fc.constantFrom("ssh", "api"),
  content: fc.uint8Array({ minLength: 1, maxLength: 4096 }),
});

/** So many images on disk, no two of one version. */
async function generated(count: number): Promise<Upload[]> {
  const images = fc.uniqueArray(image, {
    minLength: count,
    maxLength: count,
    selector: ({ release }) => release,
  });
  const [sample = []] = fc.sample(images, { numRuns: 1, seed: SEED });
  return await Promise.all(
    sample.map(async ({ alma, arch, kubernetes, release, gigabytes, via, content }): Promise<Upload> => {
      const version = `alma${alma}-k3-node-${arch}-v${kubernetes}-v${release}`;
      const file = join(dir, `${version}.qcow2`);
      await createSparseQcow2(file, gigabytes * GIB);
      appendFileSync(file, content);
      return { file, version, via, k3sVersion: `v${kubernetes}+k3s1`, diskBytes: gigabytes * GIB };
    }),
  );
}

test("Feature: homelab-infra, Property 12: Upload script template creation", async () => {
  const done: Uploaded[] = [];
  const waiting = uploads.entries();
  const worker = async (): Promise<void> => {
    for (const [at, each] of waiting) {
      done.push(at < COMMANDS ? await command(each) : await uploadHere(upload, sandbox.endpoints, each));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  assert.ok(done.length >= 100);
  assert.deepEqual(await uploadViolations(pve, done), [], REPEAT);
});

type UploadModule = typeof import("../../tasks/upload-image.ts");

for (const [at, [title, from, to]] of MUTATIONS.entries()) {
  notices(12, title, async () => {
    const request = others[at];
    assert.ok(request);
    const broken = mutantOf(dir, "tasks/upload-image.ts", (text) => changed(text, from, to));
    const { upload: task } = (await import(broken)) as UploadModule;
    return await uploadViolations(pve, [await uploadHere(task, sandbox.endpoints, request)]);
  });
}

/** The script as a person runs it. */
async function command(request: Upload): Promise<Uploaded> {
  const { apiUrl, caFile, ...at } = sandbox.endpoints;
  const { stdout } = await run(
    process.execPath,
    ["--import", "tsx", "tasks/upload-image.ts", "--via", request.via, request.file, request.version],
    {
      cwd: ROOT,
      env: childEnv({
        PM_API_URL: apiUrl,
        PM_API_TOKEN_ID: at.tokenId,
        PM_API_TOKEN_SECRET: at.tokenSecret,
        PM_TLS_CA: caFile,
        PM_SSH_HOST: at.sshHost,
        PM_SSH_PORT: String(at.sshPort),
        PM_SSH_USER: at.sshUser,
        PM_SSH_CONFIG: at.sshConfigFile,
        PM_STORAGE: at.storage,
        PM_BRIDGE: at.bridge,
        K3S_VERSION: request.k3sVersion,
      }),
    },
  );
  return { ...request, printed: stdout.trimEnd().split("\n").at(-1) ?? "" };
}
