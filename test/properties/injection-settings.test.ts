import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { SETTING_NAMES, type SettingName, specOf } from "../../lib/config/index.ts";
import { run } from "../../lib/process.ts";
import { quoteWords } from "../../lib/proxmox/index.ts";
import { REACH, type SinkName } from "../support/injection/reach.ts";
import { type Tried, trySetting } from "../support/injection/settings.ts";
import { NotingServer } from "../support/injection/sinks/api.ts";
import { asContext, asFile, asFolderName, asRepository } from "../support/injection/sinks/files.ts";
import {
  asKickstart,
  asPackerVariable,
  asStateEncryption,
  asTofuSecret,
  asTofuVariable,
} from "../support/injection/sinks/hcl.ts";
import {
  asArgument,
  asPastedWord,
  asSshConfiguration,
  asSshTarget,
  SshMachine,
} from "../support/injection/sinks/processes.ts";
import type { Sink } from "../support/injection/sinks/sink.ts";
import { hostileValues, VALUES_EACH } from "../support/injection/values.ts";
import { REPEAT } from "../support/properties/seed.ts";

/** Every setting, tried with values that want to be more than that: refused with a message, or passed on as it is. */

const dir = mkdtempSync(join(tmpdir(), "homelab-injection-"));
let server: NotingServer;
let machine: SshMachine;
before(async () => {
  [server, machine] = await Promise.all([
    NotingServer.start(join(dir, "server")),
    SshMachine.start(join(dir, "machine")),
  ]);
});
after(async () => {
  await machine?.stop();
  await server?.stop();
  rmSync(dir, { recursive: true, force: true });
});

const folder = (name: string): string => join(dir, name);
const SINKS: Readonly<Record<SinkName, () => Sink>> = {
  "remote word": () => machine.asRemoteWord,
  "pasted word": () => asPastedWord,
  argument: () => asArgument,
  "ssh host": () => asSshTarget("host"),
  "ssh user": () => asSshTarget("user"),
  "ssh port": () => asSshTarget("port"),
  "ssh configuration": () => asSshConfiguration,
  "API path": () => server.asPath,
  "API form": () => server.asForm,
  "API file name": () => server.asFileName,
  "release address": () => server.asRelease,
  "token id": () => server.asToken("tokenId"),
  "token secret": () => server.asToken("tokenSecret"),
  "tofu variable": () => asTofuVariable(folder("variable")),
  "tofu secret": () => asTofuSecret(folder("secret")),
  "state encryption": () => asStateEncryption(folder("encryption")),
  "packer variable": () => asPackerVariable(folder("packer")),
  "kickstart address": () => asKickstart(folder("address"), "address"),
  "kickstart gateway": () => asKickstart(folder("gateway"), "gateway"),
  "kickstart name server": () => asKickstart(folder("nameserver"), "nameserver"),
  "repository address": () => asRepository(folder("address-file"), "repoURL"),
  "repository revision": () => asRepository(folder("revision-file"), "targetRevision"),
  "kubeconfig context": () => asContext(folder("contexts")),
  "folder name": () => asFolderName,
  file: () => asFile(dir),
};

/** Sinks that are tried with any text besides: what no setting says today, one may say tomorrow. */
const TAKES_ANYTHING: readonly SinkName[] = [
  "remote word",
  "pasted word",
  "argument",
  "API path",
  "tofu variable",
  "tofu secret",
  "state encryption",
  "packer variable",
];
/** No argument, variable or file has a NUL in it, half a surrogate pair is no text, no request has so long a path, a dot is no name. */
const anything = (): string[] =>
  hostileValues("value", 1000, 1_300)
    .filter((text) => !/[\0\p{Cs}]|^\.\.?$/u.test(text) && text.length < 1000)
    .slice(0, VALUES_EACH);

const tried = new Map<SettingName, Tried>();

describe("a setting", () => {
  for (const [at, name] of SETTING_NAMES.entries()) {
    test(`${name} takes a value or refuses it with a message`, async () => {
      const result = await trySetting(name, at, folder(name));
      tried.set(name, result);
      assert.equal(result.count, VALUES_EACH);
      assert.deepEqual(result.faults.slice(0, 3), [], REPEAT);
      assert.ok(result.taken.length > 0, `the example alone is taken ${REPEAT}`);
      assert.ok(result.refused > 0, `${specOf(name).example}: nothing is refused ${REPEAT}`);
    });
  }
});

test("every setting has its place in the list of what values become part of", () => {
  assert.deepEqual(Object.keys(REACH).toSorted(), [...SETTING_NAMES].toSorted());
  for (const [name, { tfVar, pkrVar, secret }] of SETTING_NAMES.map(
    (name) => [name, specOf(name)] as const,
  )) {
    const reach = REACH[name];
    if (tfVar !== undefined) assert.ok(reach.includes(secret ? "tofu secret" : "tofu variable"), name);
    if (pkrVar !== undefined) assert.ok(reach.includes("packer variable"), name);
  }
});

describe("passed on as it is", () => {
  for (const [name, open] of Object.entries(SINKS) as [SinkName, () => Sink][]) {
    const settings = SETTING_NAMES.filter((setting) => REACH[setting].includes(name));
    test(`as ${name}: ${settings.join(", ")}`, async (t) => {
      assert.ok(settings.length > 0, "no setting goes there");
      const values = new Set(settings.flatMap((setting) => tried.get(setting)?.taken ?? []));
      if (TAKES_ANYTHING.includes(name)) for (const text of anything()) values.add(text);
      const sent = [...values];
      assert.ok(sent.length >= settings.length);
      const arrived = await open()(sent);
      assert.equal(arrived.length, sent.length, REPEAT);
      const other = sent.flatMap((value, at) =>
        // OpenTofu and Packer write letters with accents in one way.
        arrived[at]?.normalize("NFC") === value.normalize("NFC")
          ? []
          : [{ sent: value.slice(0, 300), arrived: arrived[at]?.slice(0, 600) }],
      );
      assert.deepEqual(other.slice(0, 5), [], `${other.length} of ${sent.length} are changed ${REPEAT}`);
      t.diagnostic(`${sent.length} different values of ${settings.length} settings arrived`);
    });
  }
});

test("a dot or two, which lead to another path of the API, are refused", async () => {
  for (const name of [".", ".."]) await assert.rejects(server.asPath([name]), /is no path of the API/);
});

test("a NUL is refused by whatever cannot hold one", async () => {
  assert.throws(() => quoteWords(["echo", "a\0b"]), /NUL/);
  await assert.rejects(run("/usr/bin/printf", ["%s", "a\0b"]), /NUL/);
  await assert.rejects(run("/usr/bin/true", [], { env: { A: "a\0b" } }), /null bytes/);
});
