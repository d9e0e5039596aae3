import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import type { TaskError } from "../../lib/errors.ts";
import { buildPhases, startBuild } from "../../lib/packer/index.ts";
import { ROOT } from "../../lib/task/index.ts";
import { IMAGE_STEPS } from "../../tasks/image-build/packer.ts";
import { FILES } from "../support/installer-iso/debian.ts";
import { imageTools, missingForBuild } from "../support/installer-iso/index.ts";
import { commandsIn, errorOf, paste, type Refusal, refusalOf } from "../support/refusals.ts";
import { eventsOf, WorkingCopy } from "../support/working-copy.ts";

/**
 * What goes wrong with the golden image's build, and what is said of it: the section "Packer Build Failures" of the specification. Each
 * test is called after the line that it proves.
 */

const missing = missingForBuild();
const SKIP = { skip: missing && `no image can be built here: ${missing}` };

describe("ISO Download Failures", SKIP, () => {
  const ISO = "AlmaLinux-9.6-x86_64-minimal.iso";
  const BYTES = Buffer.from("the installer");
  const SHA256 = createHash("sha256").update(BYTES).digest("hex");
  const copy = new WorkingCopy();
  const asked: number[] = [];
  let server: Server;
  let url: string;
  let told: Refusal;

  before(async () => {
    await imageTools();
    // What comes behind the ISO is not the point here, and Packer ends at once without its files.
    rmSync(join(copy.root, "packer"), { recursive: true, force: true });
    server = createServer((request, response) => {
      if (request.url !== `/isos/${ISO}`) return void response.writeHead(404).end();
      asked.push(performance.now());
      response.writeHead(503, "Service Unavailable").end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    url = `http://127.0.0.1:${address.port}/isos/${ISO}`;
    told = await refusalOf(copy, "build-image", ["--builder", "qemu", "--no-upload"], {
      ALMA_ISO_URL: url,
      ALMA_ISO_CHECKSUM: `sha256:${SHA256}`,
    });
  });
  after(() => {
    server?.close();
    server?.closeAllConnections();
    copy.remove();
  });

  test("ISO Download Failures · Retry with exponential backoff", () => {
    const pauses = asked.slice(1).map((at, index) => (at - (asked[index] ?? 0)) / 1000);
    assert.equal(pauses.length, 3, "four attempts");
    for (const [index, seconds] of [2, 4, 8].entries()) {
      const pause = pauses[index] ?? 0;
      // A busy machine may take longer; test/unit/iso.test.ts has the exact pauses.
      assert.ok(pause >= seconds - 0.05, `${pauses.join(", ")} s`);
    }
  });

  test("ISO Download Failures · Provide clear error message with ISO URL", () => {
    assert.equal(told.exitCode, 1);
    assert.equal(told.what, `${url} cannot be had`);
    assert.match(told.why, /answered 503 Service Unavailable$/);
    assert.equal(told.left, "Nothing was built");
  });

  test("ISO Download Failures · Suggest manual download and local file path", async () => {
    assert.deepEqual(commandsIn(told.todo), [`curl -LO ${url}`]);
    assert.match(told.todo, /^ALMA_ISO_URL=\/path\/to\/\S+\.iso$/m);
    assert.match(told.todo, /^ALMA_ISO_CHECKSUM=sha256:/m);
    // With such a file the server is not asked again, and the build goes on to Packer.
    const file = join(copy.home, ISO);
    writeFileSync(file, BYTES);
    const before = asked.length;
    const result = await copy.task("build-image", ["--builder", "qemu", "--no-upload", "--json"], {
      ALMA_ISO_URL: file,
      ALMA_ISO_CHECKSUM: `sha256:${SHA256}`,
    });
    const step = eventsOf(result).findLast(({ title }) => title === "Have the ISO, verified");
    assert.equal(step?.state, "done", result.stdout);
    assert.equal(asked.length, before);
  });

  test("ISO Download Failures · Suggest manual download and local file path · it is another file", async () => {
    const file = join(copy.home, "another.iso");
    writeFileSync(file, "something else");
    const { what, why, todo, left } = await refusalOf(
      copy,
      "build-image",
      ["--builder", "qemu", "--no-upload"],
      { ALMA_ISO_URL: file, ALMA_ISO_CHECKSUM: `sha256:${SHA256}` },
    );
    assert.equal(what, `${file} is not the ISO it has to be`);
    assert.match(why, new RegExp(`and has to be\n {2}${SHA256}$`));
    assert.match(todo, /compare it with the publisher's CHECKSUM file/);
    assert.equal(left, `${file} is left as it is\nNothing was built`);
    assert.equal(readFileSync(file, "utf8"), "something else");
  });
});

describe("Provisioning Script Failures", SKIP, () => {
  const base = mkdtempSync(join(tmpdir(), "homelab-kept-"));
  const name = "alma9-k3-node-amd64-v1.35.6-v";
  const PASSWORD = "only-for-this-build-0123";

  after(() => rmSync(base, { recursive: true, force: true }));

  /** A real build on a machine with an empty disk and an empty CD: nobody ever answers by SSH. */
  async function failedBuild(
    release: number,
    keepOnError: boolean,
  ): Promise<{ error: TaskError; output: string }> {
    const tools = await imageTools();
    const work = join(base, String(release));
    const [logs, output, iso] = ["logs", "output", "empty.iso"].map((part) => join(work, part)) as [
      string,
      string,
      string,
    ];
    mkdirSync(logs, { recursive: true });
    const bytes = Buffer.alloc(1024 ** 2);
    writeFileSync(iso, bytes);
    const phases = buildPhases(IMAGE_STEPS, "Write the qcow2");
    const { ended } = startBuild(
      {
        program: tools.packer,
        pluginPath: tools.pluginPath,
        directory: join(ROOT, "packer", "alma9-k3s-optimized", "qemu"),
        variables: {
          image_version: `${name}${release}`,
          k3s_version: "v1.35.6+k3s1",
          alma_iso_url: iso,
          alma_iso_checksum: `sha256:${createHash("sha256").update(bytes).digest("hex")}`,
          boot_wait: "1s",
          build_password: PASSWORD,
          http_bind_address: "127.0.0.1",
          goss_binary: tools.goss,
          log_directory: logs,
          output_directory: output,
          ssh_timeout: "1s",
          disk_size: "2G",
          cores: 1,
          memory: 512,
          accelerator: "tcg",
          efi_firmware_code: FILES.uefiCode,
          efi_firmware_vars: FILES.uefiVars,
        },
        keepOnError,
        partial: `in ${output}; the next build offers to remove it`,
        passwordFile: join(logs, "build-password"),
        cacheDir: join(work, "cache"),
        signal: new AbortController().signal,
      },
      phases,
    );
    return { error: await errorOf(ended), output };
  }

  /** The QEMU processes of a build. */
  function machines(release: number): number[] {
    return readdirSync("/proc")
      .filter((pid) => /^\d+$/.test(pid))
      .filter((pid) => {
        try {
          const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
          return words[0]?.includes("qemu-system") && words.includes(`${name}${release}.qcow2`);
        } catch {
          return false;
        }
      })
      .map(Number);
  }

  test("Provisioning Script Failures · Log detailed error output", async () => {
    const { error, output } = await failedBuild(7101, false);
    assert.equal(error.what, 'The image was not built: "Install AlmaLinux (until SSH answers)" failed');
    assert.match(error.why ?? "", /Timeout waiting for SSH/);
    assert.match(error.todo.join("\n"), /run it again with --verbose/);
    assert.match(error.todo.join("\n"), /--on-error=keep/);
    assert.deepEqual(error.left, ["Packer has removed the build VM and its files"]);
    assert.equal(existsSync(output), false);
    assert.deepEqual(machines(7101), []);
  });

  test("Provisioning Script Failures · Preserve partial build for debugging", async () => {
    const { error, output } = await failedBuild(7102, true);
    try {
      const left = error.left.join("\n");
      assert.match(error.why ?? "", /Timeout waiting for SSH/);
      assert.doesNotMatch(error.why ?? "", /skipping cleanup/);
      assert.match(
        left,
        new RegExp(`^The partial build is kept in ${output}; the next build offers to remove it$`, "m"),
      );
      assert.ok(readdirSync(output).includes(`${name}7102.qcow2`));
      // The machine runs, as it is said, with the screen that is named; and ends with the command that is given.
      assert.equal(machines(7102).length, 1);
      const screen = /vnc:\/\/127\.0\.0\.1:(\d+)/.exec(left)?.[1];
      assert.match(
        paste(`exec 3<>/dev/tcp/127.0.0.1/${screen} && head -c 12 <&3`, { shell: "/bin/bash" }).stdout,
        /^RFB 003/,
      );
      assert.match(left, /The password is in .*build-password/);
      const [login, end] = commandsIn(left);
      assert.match(login ?? "", /^ssh .* -p \d+ root@127\.0\.0\.1$/);
      assert.equal(paste(end ?? "false").exit, 0);
      const deadline = Date.now() + 10_000;
      while (machines(7102).length > 0 && Date.now() < deadline) {
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assert.deepEqual(machines(7102), []);
    } finally {
      for (const pid of machines(7102)) process.kill(pid, "SIGKILL");
    }
  });
});
