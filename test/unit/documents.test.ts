import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { parseAllDocuments } from "yaml";
import { SETTING_NAMES } from "../../lib/config/index.ts";
import { ROOT } from "../../lib/task/index.ts";
import { runTask } from "../support/command-line.ts";
import { RECORDINGS } from "../support/contract/recordings.ts";
import {
  anchors,
  brokenLinks,
  codeBlocks,
  commandUses,
  inlineCode,
  markdownFiles,
  occursIn,
  quotedMessages,
  settingLike,
} from "../support/documents.ts";

/** README and docs/ against the code: links, commands with their flags, settings, messages. */

const files = markdownFiles(ROOT);
const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");
const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };

/** Names in the form of settings that are none of ours. */
const OTHER_NAMES: readonly (readonly [form: RegExp, what: string])[] = [
  [/^HOMELAB_(TOOLS|CACHE)$/, "limits or moves the toolchain: read by it, not by the schema"],
  [/^(TF_HTTP_|PG_CONN_STR$|CONSUL_HTTP_|AWS_)/, "credentials of OpenTofu's backends"],
  [/^TF_(VAR|CLI)_|^TF_(LOG|ENCRYPTION)$/, "OpenTofu's own variables"],
  [/^PKR_VAR_/, "Packer's own variables"],
  [/^SSL_CERT_FILE$/, "the system's"],
  [/^MYSQL_ROOT_PASSWORD$/, "the MariaDB image's"],
];

/** Every line of code that can say something to a person. */
function sourceLines(): string[] {
  return ["lib", "tasks", "terraform"].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((file) => /\.(ts|tf)$/.test(file) && !/(^|\/)(\.terraform|sandbox)\//.test(file))
      .flatMap((file) => readFileSync(join(ROOT, folder, file), "utf8").split("\n")),
  );
}

/** Settings named in a text that the schema does not have. */
function unknownSettings(text: string): string[] {
  return settingLike(text).filter(
    (name) =>
      !(SETTING_NAMES as readonly string[]).includes(name) && !OTHER_NAMES.some(([form]) => form.test(name)),
  );
}

describe("links", () => {
  for (const file of files) {
    test(`of ${file} lead to files and headings that are there`, () => {
      assert.deepEqual(brokenLinks(ROOT, file, read(file)), []);
    });
  }

  test("every page of docs/ is in its index", () => {
    const index = read("docs/README.md");
    for (const file of readdirSync(join(ROOT, "docs"))) {
      if (file !== "README.md") assert.ok(index.includes(`(${file})`), file);
    }
  });
});

describe("commands", () => {
  let helps: Readonly<Record<string, string>>;
  before(async () => {
    const { code, stdout, stderr } = await runTask(join(ROOT, "test/support/print-help.ts"));
    assert.equal(code, 0, stderr);
    helps = JSON.parse(stdout) as Record<string, string>;
  });

  /** Commands and flags in a text that there are none of. */
  function wrongCommands(text: string): string[] {
    return commandUses(text).flatMap(({ name, flags, text: use }) => {
      const help = helps[name];
      if (help === undefined) return scripts[name] === undefined ? [`${use}: no such command`] : [];
      return flags
        .filter((flag) => !new RegExp(`^ {2}--${flag}\\b`, "m").test(help))
        .map((flag) => `${use}: no flag --${flag}`);
    });
  }

  for (const file of files) {
    test(`of ${file} exist, and so do their flags`, () => {
      assert.deepEqual(wrongCommands(read(file)), []);
    });
  }

  test("that do not exist are found, wherever they stand", () => {
    const text =
      "`npm run tf-aply` and\n```sh\nnpm ci && npm run tf-apply -- --replace x --nonsense\nnpx tsx tasks/status.ts --jsn\nnpm run setup -- --json # --what\n```\n";
    assert.deepEqual(wrongCommands(text).sort(), [
      "npm run tf-aply: no such command",
      "npm run tf-apply -- --replace x --nonsense: no flag --nonsense",
      "npx tsx tasks/status.ts --jsn: no flag --jsn",
    ]);
  });

  test("all of them are in the README's table", () => {
    const named = new Set(inlineCode(read("README.md")).map((code) => code.split(" ")[0]));
    assert.deepEqual(
      Object.keys(helps).filter((name) => !named.has(name)),
      [],
    );
  });
});

describe("settings", () => {
  for (const file of files) {
    test(`that ${file} names are in the schema`, () => {
      assert.deepEqual(unknownSettings(read(file)), []);
    });
  }

  test("that do not exist are found", () => {
    assert.deepEqual(unknownSettings("PM_API_URL, `PM_API_ULR=x`, TF_VAR_x and $HOME_DIR"), ["PM_API_ULR"]);
  });
});

describe("messages that docs/troubleshooting.md quotes", () => {
  const lines = sourceLines();
  const messages = quotedMessages(read("docs/troubleshooting.md"));

  test("are many", () => assert.ok(messages.length >= 25, `${messages.length}`));
  for (const message of messages) {
    test(`are ours: ${message}`, () => {
      assert.ok(occursIn(message, lines), "no line of code says this");
    });
  }

  test("that nobody says are found", () => {
    assert.equal(occursIn("There is no storage … on the moon", lines), false);
    assert.equal(occursIn("The state is unlocked", lines), false);
  });
});

describe("code blocks", () => {
  for (const file of files) {
    test(`of ${file} in YAML can be parsed`, () => {
      for (const { language, text, line } of codeBlocks(read(file))) {
        if (!/^ya?ml$/.test(language)) continue;
        const errors = parseAllDocuments(text).flatMap((document) => document.errors);
        assert.deepEqual(errors, [], `${file}:${line}`);
      }
    });
  }
});

test("the privileges in docs/access-control.md are those that were measured, for Proxmox VE 9 and 8", {
  skip: !existsSync(join(RECORDINGS, "privileges.json")) && "the measurements are not on this machine",
}, () => {
  const { minimal } = JSON.parse(readFileSync(join(RECORDINGS, "privileges.json"), "utf8")) as {
    minimal: Record<string, Record<string, unknown>>;
  };
  const measured = (path: string): string[] =>
    ["i_tofu_create_plan_destroy", "ii_packer_proxmox_iso"].flatMap((flow) => {
      const extra = (name: string): unknown =>
        (minimal[flow]?.[name] as Record<string, unknown> | undefined)?.[path];
      return [
        minimal[flow]?.[path],
        extra("extra if started=true"),
        extra("extra if agent enabled and started"),
      ].flatMap((each) => (each as string[] | undefined) ?? []);
    });
  const roles = [
    ...read("docs/access-control.md")
      .replaceAll("\\\n", " ")
      .matchAll(/pveum role add (\w+) --privs "([^"]+)"/g),
  ].map(([, name = "", list = ""]) => ({ name, privileges: list.split(/\s+/).sort() }));
  const sorted = (list: readonly string[]): string[] => [...new Set(list)].sort();
  const [vms, eight] = roles.filter(({ name }) => name === "HomelabVms");
  const on9 = sorted(measured("/vms"));
  assert.deepEqual(vms?.privileges, on9);
  assert.deepEqual(
    eight?.privileges,
    sorted(on9.map((each) => (each === "VM.GuestAgent.Audit" ? "VM.Monitor" : each))),
  );
  const of = (role: string): string[] => roles.find(({ name }) => name === role)?.privileges ?? [];
  assert.deepEqual(of("HomelabStorage"), sorted(measured("/storage/vmdata")));
  assert.deepEqual(of("HomelabNetwork"), sorted(measured("/sdn/zones/localnetwork")));
  // Listing ISOs was measured apart from the build.
  assert.deepEqual(of("HomelabImages"), sorted([...measured("/storage/local"), "Datastore.Audit"]));
});

describe("what the tests above rest on", () => {
  const page =
    "# A `code` & more\n\n## A\n\n## A\n\n```sh\n# no heading\n```\n[x](#a-1) [y](#b) [z](nowhere.md)\n";

  test("anchors are those of GitHub", () => {
    assert.deepEqual([...anchors(page)], ["a-code--more", "a", "a-1"]);
  });

  test("links that lead nowhere are named", () => {
    assert.deepEqual(brokenLinks(ROOT, "README.md", page), [
      "README.md: #b has no such heading",
      "README.md: nowhere.md does not exist",
    ]);
  });
});
