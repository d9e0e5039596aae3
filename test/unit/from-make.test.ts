import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { SETTING_NAMES } from "../../lib/config/index.ts";
import { ROOT } from "../../lib/task/index.ts";

/** The README's table for people who come from make. */

/** The targets of the specification's Makefile, in its order. */
const TARGETS = [
  ...["packer", "tf-init", "tf-plan", "tf-apply", "tf-destroy"],
  ...["k8s-bootstrap", "argo", "k8s-diff", "preflight", "clean"],
];
/** Its variables. */
const VARIABLES = ["IMAGE_VERSION", "K3S_VERSION", "ENV"];

const readme = readFileSync(join(ROOT, "README.md"), "utf8");
const [, section = ""] = /^### From make\n([\s\S]*?)^## /m.exec(readme) ?? [];
const rows = [...section.matchAll(/^\| `make ([^`]*)` \| `([^`]*)`(.*)\|$/gm)].map(
  ([, target = "", command = "", more = ""]) => ({ target, command, more }),
);
const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
};

test("every target of the Makefile has a command that is there", () => {
  assert.deepEqual(
    rows.map(({ target }) => target.split(" ")[0]).filter((target) => target !== "-n"),
    TARGETS,
  );
  for (const { command } of rows) {
    const name = /npm run (\S+)/.exec(command)?.[1] ?? "";
    assert.ok(name === "…" || name in scripts, command);
  }
});

test("every variable of it is a setting here, and the row of a target that takes it says how", () => {
  for (const name of VARIABLES) assert.ok((SETTING_NAMES as readonly string[]).includes(name), name);
  for (const { target, command } of rows) {
    for (const [, name = ""] of target.matchAll(/([A-Z0-9_]+)=/g)) {
      assert.ok(VARIABLES.includes(name), name);
      assert.ok(command.includes(name === "ENV" ? "--env" : `${name}=`), `${name} in ${command}`);
    }
  }
  for (const target of ["packer", ...TARGETS.filter((name) => name.startsWith("tf-"))])
    assert.match(rows.find((row) => row.target.startsWith(target))?.target ?? "", /=/, target);
});
