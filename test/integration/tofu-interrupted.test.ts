import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { Tofu } from "../../lib/tofu/index.ts";
import { writeProgram } from "../support/programs.ts";

/** OpenTofu is interrupted while it only reads: a stand-in for it takes its time, and complains as OpenTofu does. */

const dir = mkdtempSync(join(tmpdir(), "homelab-tofu-interrupted-"));
after(() => rmSync(dir, { recursive: true, force: true }));

test("what it complains about then is not taken for a failure", async () => {
  const program = writeProgram(
    dir,
    "tofu",
    `case "$*" in
  plan*)
    for word in "$@"; do case "$word" in -out=*) : >"\${word#-out=}" ;; esac; done
    echo '{"type":"planned"}' ;;
  show*)
    trap 'echo "Error: Failed to load plugin schemas" >&2; exit 1' INT
    kill -USR2 ${process.pid}
    while :; do sleep 0.05; done ;;
esac`,
  );
  const interrupt = new AbortController();
  const tofu = await Tofu.open({
    program,
    cliConfigFile: join(dir, "tofurc"),
    directory: dir,
    signal: interrupt.signal,
  });
  const showing = new Promise<void>((resolve) => process.once("SIGUSR2", resolve));
  const planning = tofu.plan();
  void showing.then(() => interrupt.abort(new Error("Ctrl-C")));
  await assert.rejects(planning, /^Error: Ctrl-C$/);
  tofu.close();
});
