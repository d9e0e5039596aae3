import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { ROOT } from "../../lib/task/index.ts";
import { changed, notices } from "../support/properties/mutation.ts";
import { RUNS, SEED } from "../support/properties/seed.ts";
import { isStub, stubViolations } from "../support/properties/stub-scripts.ts";

const folder = join(ROOT, "packer", "alma9-k3s-optimized", "scripts");
const scripts = new Map(
  readdirSync(folder)
    .filter((name) => name.endsWith(".sh"))
    .map((name) => [name, readFileSync(join(folder, name), "utf8")]),
);
const STUB = "hardening-oscap.sh";

/** Commands of a script that does something. */
const work = fc.constantFrom(
  "dnf install -y chrony",
  "systemctl enable foo.service",
  "rm -rf /var/cache/foo",
);
const idle = fc.constantFrom('log "later"', "set -euo pipefail", "exit 0", ":", "", "# nothing yet");
const explained = fc.constantFrom(
  "# How to enable it:\n#   set FOO_FLAG, which this script reads\n",
  "# How to enable this:\n#   build with IMAGE_OSCAP=true\n# How to extend it:\n#   - add a command below\n",
  "# How to extend it:\n#   - put your rules into /etc/foo and load them here\n",
);
const unexplained = fc.constantFrom(
  "",
  "# Does something, perhaps.\n",
  "# How to enable it:\n",
  "# How to enable it:\n#   set NOBODY_READS_IT\n",
  "# It is easy to enable.\n",
);

/** A script in the folder of the provisioning scripts, and whether its comments are enough. */
const generated = fc
  .record({
    says: fc.boolean(),
    works: fc.boolean(),
    comment: fc.oneof(
      explained.map((text) => ({ text, enough: true })),
      unexplained.map((text) => ({ text, enough: false })),
    ),
    body: fc.array(idle, { maxLength: 6 }),
    command: work,
  })
  .map(({ says, works, comment, body, command }) => {
    const title = says ? "# A STUB for something.\n" : "# Something.\n";
    const lines = [...body, 'echo "$FOO_FLAG"', ...(works ? [command] : [])];
    return {
      text: `#!/usr/bin/env bash\n${title}${comment.text}\n${lines.join("\n")}\n`,
      stub: says || !works,
      right: comment.enough || (!says && works),
    };
  });

test("Feature: homelab-infra, Property 10: Stub script documentation", () => {
  assert.ok(scripts.size > 4);
  assert.ok(isStub(scripts.get(STUB) ?? ""), `${STUB} is a stub by the specification`);
  assert.deepEqual(
    [...scripts].flatMap(([name, text]) => stubViolations(name, text)),
    [],
  );
  fc.assert(
    fc.property(generated, ({ text, stub, right }) => {
      assert.equal(isStub(text), stub, text);
      assert.equal(stubViolations("generated.sh", text).length === 0, right, text);
    }),
    { numRuns: 3 * RUNS, seed: SEED },
  );
});

for (const [title, from, to] of [
  ["the stub's comments are gone", /^(#!.*\n)(?:#.*\n)+/, "$1"],
  ["headings without instructions", /^# {2,}.*\n/gm, ""],
  ["instructions without their headings", /^# How to .*\n/gm, ""],
  ["a setting that does not exist", "IMAGE_OSCAP=true", "IMAGE_OPENSCAP=true"],
  ["a variable that the script does not read", "set OSCAP_PROFILE", "set SCAP_PROFILE"],
] as const) {
  notices(10, title, () => stubViolations(STUB, changed(scripts.get(STUB) ?? "", from, to)));
}

notices(10, "a new script that does nothing and says nothing", () =>
  stubViolations("firewall.sh", "#!/usr/bin/env bash\nset -euo pipefail\nexit 0\n"),
);
