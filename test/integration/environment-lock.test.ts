import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { alone } from "../../lib/task/index.ts";
import { refused } from "../support/refused.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/** Two tasks that change one environment do not interleave. */

const root = mkdtempSync(join(tmpdir(), "homelab-environment-lock-"));
after(() => rmSync(root, { recursive: true, force: true }));
const running = { root, sandbox: undefined, flags: { dryRun: false } };

test("the second says who is at it and since when, and changes nothing; another environment is free", async () => {
  await alone(running, "k3s-single", async () => {
    const { what, why, left } = await refused(
      alone(running, "k3s-single", async () => assert.fail("it ran all the same")),
    );
    assert.equal(what, "Somebody else is changing the environment k3s-single");
    assert.match(
      why ?? "",
      new RegExp(
        `^Process ${process.pid} on this machine: homelab run [0-9a-f]{8} by \\S+@\\S+ \\(process \\d+, \\S+\\) since \\d{4}-\\d\\d-\\d\\dT`,
      ),
    );
    assert.deepEqual(left, ["Nothing was changed"]);
    const others: string[] = [];
    await alone(running, "staging", async () => void others.push("ran"));
    await alone({ ...running, flags: { dryRun: true } }, "k3s-single", async () => void others.push("ran"));
    assert.equal(others.length, 2);
  });
  await alone(running, "k3s-single", async () => {});
});

test("what a failed task held is free, and so is what a killed one has left", async () => {
  await assert.rejects(
    alone(running, "k3s-single", async () => {
      throw new Error("broken");
    }),
    /broken/,
  );
  const code = `
    import { alone } from ${JSON.stringify(new URL("../../lib/task/index.ts", import.meta.url).href)};
    const running = ${JSON.stringify({ root, flags: { dryRun: false } })};
    await alone(running, "k3s-single", async () => {
      console.log("held");
      await new Promise((resolve) => setTimeout(resolve, 60_000));
    });`;
  const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", code], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    await new Promise((resolve) => child.stdout.once("data", resolve));
    const { why } = await refused(alone(running, "k3s-single", async () => {}));
    assert.match(why ?? "", new RegExp(`^Process ${child.pid} on this machine`));
  } finally {
    child.kill("SIGKILL");
  }
  await new Promise((resolve) => child.once("exit", resolve));
  await alone(running, "k3s-single", async () => {});
  assert.ok(readdirSync(join(root, ".homelab", "locks")).every((file) => !file.includes("after")));
});

test("the sandbox's environment has nothing to do with the real one", async () => {
  const sandbox = { dir: join(root, "sandbox") } as Parameters<typeof alone>[0]["sandbox"];
  mkdirSync(join(root, "sandbox"));
  let ran = false;
  await alone(running, "k3s-single", async () => {
    await alone({ ...running, sandbox }, "k3s-single", async () => {
      ran = true;
    });
  });
  assert.ok(ran);
});

test("every task that changes an environment takes its lock before it asks anything of a node", async () => {
  const copy = new WorkingCopy();
  try {
    const key = join(copy.home, "id.pub");
    writeFileSync(key, "ssh-ed25519 AAAA ann@laptop\n");
    const settings = {
      // Nothing listens there.
      PM_API_URL: "https://127.0.0.1:1/api2/json",
      PM_API_TOKEN_ID: "homelab@pve!tasks",
      PM_API_TOKEN_SECRET: "00000000-0000-0000-0000-000000000000",
      SSH_PUBLIC_KEY_FILE: key,
    };
    await alone({ ...running, root: copy.root }, "k3s-single", async () => {
      for (const [task, ...flags] of [
        ["deploy", "--yes"],
        ["tf-apply", "--yes"],
        ["tf-destroy", "--env", "k3s-single", "--yes"],
      ] as const) {
        const { exitCode, stderr } = await copy.task(task, flags, settings);
        assert.equal(exitCode, 1, `${task}: ${stderr}`);
        assert.match(stderr, /✖ Somebody else is changing the environment k3s-single\n/, task);
        assert.match(stderr, new RegExp(`Process ${process.pid} on this machine`), task);
      }
    });
  } finally {
    copy.remove();
  }
});
