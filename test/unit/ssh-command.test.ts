import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { after, describe, test } from "node:test";
import { UsageError } from "../../lib/errors.ts";
import { NodeShell, type SshTarget } from "../../lib/proxmox/index.ts";

/** How the commands for OpenSSH are put together, and what OpenSSH itself makes of them (`ssh -G` connects to nobody). */

const shells: NodeShell[] = [];
after(async () => await Promise.all(shells.map(async (shell) => await shell.close())));

function shellTo(target: Partial<SshTarget> = {}): NodeShell {
  const shell = new NodeShell({
    host: "pve.lan",
    user: "root",
    port: 22,
    configFile: "/dev/null",
    ...target,
  });
  shells.push(shell);
  return shell;
}

/** What ssh would do with these arguments, option by option. */
function understood(args: readonly string[]): ReadonlyMap<string, string> {
  const lines = execFileSync("ssh", ["-G", ...args], { encoding: "utf8" })
    .trim()
    .split("\n");
  return new Map(
    lines.map((line): [string, string] => {
      const [name = "", ...value] = line.split(" ");
      return [name, value.join(" ")];
    }),
  );
}

describe("a command for the node", () => {
  for (const target of [
    { host: "pve.lan", user: "root", port: 22 },
    { host: "10.23.45.10", user: "admin", port: 2222 },
    { host: "fd00::10", user: "root", port: 65_535 },
  ]) {
    test(`goes to ${target.user} at ${target.host}, port ${target.port}, asks nothing and trusts nobody new`, async () => {
      const { file, args } = await shellTo(target).command(["--", "qm list"]);
      assert.equal(file, "ssh");
      assert.deepEqual(args.slice(-3), [`${target.user}@${target.host}`, "--", "qm list"]);
      const options = understood(args);
      assert.equal(options.get("hostname"), target.host);
      assert.equal(options.get("user"), target.user);
      assert.equal(options.get("port"), String(target.port));
      assert.equal(options.get("batchmode"), "yes");
      assert.match(options.get("stricthostkeychecking") ?? "", /^(?:true|yes)$/);
      assert.match(options.get("connecttimeout") ?? "", /^\d+$/);
    });
  }

  test("takes the person's own configuration where no other is named", async () => {
    assert.ok(!(await shellTo({ configFile: undefined }).command([])).args.includes("-F"));
    assert.deepEqual((await shellTo({ configFile: "/etc/my own config" }).command([])).args.slice(0, 2), [
      "-F",
      "/etc/my own config",
    ]);
  });

  test("shares one connection with the others of its shell, at a place that nobody else reaches", async () => {
    const shell = shellTo();
    const [one, two] = [await shell.command(["--", "true"]), await shell.command(["--", "false"])];
    const path = understood(one.args).get("controlpath") ?? "";
    assert.equal(understood(two.args).get("controlpath"), path);
    assert.equal(understood(one.args).get("controlmaster"), "auto");
    assert.equal(statSync(dirname(path)).mode & 0o777, 0o700);
    assert.ok(path.length < 90, "a socket's path has room for a hundred characters, and ssh adds some");
    assert.notEqual(understood((await shellTo().command([])).args).get("controlpath"), path);
    await shell.close();
    assert.equal(existsSync(dirname(path)), false);
  });

  test("has a connection of its own where it is told to", async () => {
    const { args } = await shellTo().command(["-N"], { shared: false });
    assert.equal(understood(args).get("controlpath"), undefined);
  });

  test("is refused where the settings lead to no node", async () => {
    await assert.rejects(shellTo({ host: "" }).command([]), UsageError);
  });
});

describe("the command with which a person logs in to a VM", () => {
  const vm = { address: "10.23.45.31", user: "admin", knownHostsFile: "/home/ann/known_hosts" };

  test("goes there directly", () => {
    const [file, ...args] = shellTo().vmCommand({ ...vm, jump: false });
    assert.equal(file, "ssh");
    const options = understood(args);
    assert.equal(options.get("hostname"), vm.address);
    assert.equal(options.get("user"), vm.user);
    assert.equal(options.get("userknownhostsfile"), vm.knownHostsFile);
    assert.equal(options.get("proxyjump"), undefined);
  });

  for (const [port, jump] of [
    [22, "root@pve.lan"],
    [2222, "root@pve.lan:2222"],
  ] as const) {
    test(`jumps through the node at port ${port}`, () => {
      const [, ...args] = shellTo({ port }).vmCommand({ ...vm, jump: true });
      assert.equal(understood(args).get("proxyjump"), jump);
    });
  }
});
