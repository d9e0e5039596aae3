import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import * as v from "valibot";
import { run } from "../../lib/process.ts";
import { ROOT } from "../../lib/task/index.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/** PM_TLS_INSECURE: every task that may talk to the node's API says so in every run, to people and to machines. */

const copy = new WorkingCopy();
after(() => copy.remove());

const tsx = ["--import", import.meta.resolve("tsx")];
const support = (...names: string[]): string => join(ROOT, "test", "support", ...names);
const EndedSchema = v.array(v.object({ code: v.number(), stdout: v.string(), stderr: v.string() }));
const NoteSchema = v.object({ event: v.literal("note"), text: v.string() });

/** What a task cannot do without besides. */
const WORDS: Readonly<Record<string, readonly string[]>> = {
  "upload-image": ["a.qcow2", "alma9-k3-node-amd64-v1.28.5-v1", "--via", "api"],
  preflight: ["--only", "node"],
};

test("every task that uses it says so", async () => {
  const { stdout } = await run(process.execPath, [...tsx, support("print-help.ts")]);
  const helps = v.parse(v.record(v.string(), v.string()), JSON.parse(stdout));
  const tasks = Object.keys(helps).filter((task) => /^ {2}PM_TLS_INSECURE /m.test(helps[task] ?? ""));
  // It looks at all settings there are, and names none of them.
  tasks.push("preflight");
  for (const task of [
    "images",
    "leftovers",
    "status",
    "deploy",
    "tf-apply",
    "tf-destroy",
    "upload-image",
    "build-image",
    "pve-init",
  ])
    assert.ok(tasks.includes(task), task);
  const key = join(copy.root, "key.pub");
  writeFileSync(key, "ssh-ed25519 AAAA ann@laptop\n");
  const lines = tasks.flatMap((task) =>
    [[], ["--json"]].map((flags) => ({ task, words: [...(WORDS[task] ?? []), "--dry-run", ...flags] })),
  );
  const { stdout: text } = await run(
    process.execPath,
    [...tsx, support("injection", "command-lines.ts"), copy.root],
    {
      cwd: copy.root,
      // Nothing listens there.
      env: copy.env({
        PM_API_URL: "https://127.0.0.1:1/api2/json",
        PM_API_TOKEN_ID: "homelab@pve!tasks",
        PM_API_TOKEN_SECRET: "00000000-0000-0000-0000-000000000000",
        PM_TLS_INSECURE: "true",
        GIT_REPO_URL: "https://example.org/homelab.git",
        SSH_PUBLIC_KEY_FILE: key,
        CI: "true",
      }),
      input: JSON.stringify(lines),
    },
  );
  for (const [at, { stdout: printed, stderr }] of v.parse(EndedSchema, JSON.parse(text)).entries()) {
    const { task, words } = lines[at] ?? { task: "", words: [] };
    const notes = words.includes("--json")
      ? printed
          .split("\n")
          .filter((line) => line !== "")
          .flatMap((line) => {
            const parsed = v.safeParse(NoteSchema, JSON.parse(line));
            return parsed.success ? [parsed.output.text] : [];
          })
      : stderr.split("\n");
    const said = notes.filter((note) =>
      /PM_TLS_INSECURE is set: the node's certificate is not verified/.test(note),
    );
    assert.equal(said.length, 1, `${task} ${words.join(" ")}: ${printed}${stderr}`);
  }
});
