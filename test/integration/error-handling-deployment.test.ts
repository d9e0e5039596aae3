import assert from "node:assert/strict";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { answering } from "../../lib/ping.ts";
import { NodeShell } from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { sandboxSettings } from "../../lib/task/sandbox-settings.ts";
import { Vm, waitForBoot, waitForCloudInit } from "../../lib/vm/index.ts";
import { PveApi } from "../support/pve.ts";
import { commandsIn, errorOf, paste, refusalOf } from "../support/refusals.ts";
import { tofuTools } from "../support/tofu.ts";
import { WorkingCopy } from "../support/working-copy.ts";

/**
 * What goes wrong with OpenTofu, and what is said of it: the section "OpenTofu Deployment Failures" of the specification.
 * Each test is called after the line that it proves.
 */

const TEMPLATE = "alma9-k3-node-amd64-v1.35.6-v1";
const OTHER = "alma9-k3-node-amd64-v1.28.5-v3";

const copy = new WorkingCopy();
const dir = join(copy.root, ".homelab", "sandbox");
const globals = join(copy.root, "terraform", "globals.tfvars");
let sandbox: Sandbox;
let pve: PveApi;

before(async () => {
  await tofuTools();
  sandbox = await startSandbox({ dir });
  pve = new PveApi(sandbox.endpoints);
  await pve.createTemplate(9000, TEMPLATE);
});

after(async () => {
  await sandbox?.stop();
  copy.remove();
});

/** An action with values in globals.tfvars. */
async function withGlobals<T>(text: string, action: () => Promise<T>): Promise<T> {
  writeFileSync(globals, text);
  try {
    return await action();
  } finally {
    rmSync(globals);
  }
}

/** Nothing was made: the VMs are these. */
async function vmsAre(...names: readonly string[]): Promise<void> {
  assert.deepEqual((await pve.vms()).map(({ name }) => name).sort(), [...names].sort());
}

/** The sandbox as a person's own node: by settings, not by --sandbox. */
function asOwnNode(more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return { ...sandboxSettings(sandbox), CLUSTER_ACCESS: "direct", ...more };
}

describe("Template Not Found", () => {
  test("Template Not Found · Validate template exists before VM creation", async () => {
    const { what, why, exitCode } = await refusalOf(copy, "tf-apply", ["--sandbox", "--yes"], {
      IMAGE_VERSION: OTHER,
    });
    assert.equal(exitCode, 1);
    assert.equal(what, "k3s-single cannot be planned");
    assert.match(why, new RegExp(`There is no template "${OTHER}" on node "pve"`));
    await vmsAre(TEMPLATE);
  });

  test("Template Not Found · Provide clear error with available templates", async () => {
    const { what, why, left } = await refusalOf(copy, "deploy", ["--sandbox", "--yes"], {
      IMAGE_VERSION: OTHER,
    });
    assert.equal(what, `There is no template ${OTHER} on the node`);
    assert.match(why, new RegExp(`The templates there are: ${TEMPLATE} \\(9000 on pve\\)$`));
    assert.equal(left, "Nothing was changed");
  });

  test("Template Not Found · Suggest running Packer build first", async () => {
    const flags = ["--sandbox", "--yes"];
    const deploy = await refusalOf(copy, "deploy", flags, { IMAGE_VERSION: OTHER });
    assert.match(deploy.todo, /^\$ npm run build-image -- --sandbox$/m);
    assert.match(deploy.todo, /^\$ npm run deploy -- --sandbox --image FILE\.qcow2$/m);
    const plan = await refusalOf(copy, "tf-plan", ["--sandbox"], { IMAGE_VERSION: OTHER });
    assert.match(plan.todo, /npm run build-image/);
    assert.doesNotMatch(plan.why, /npm run/, "what to do is said once");
  });
});

describe("Resource Conflicts", () => {
  test("Resource Conflicts · Check for existing VMs with same name", async () => {
    await pve.createVm(150, "k3s-s1");
    const { what, why, todo, left } = await refusalOf(copy, "tf-apply", ["--sandbox", "--yes"]);
    assert.equal(what, "VM k3s-s1 cannot have the name k3s-s1: it is taken");
    assert.match(why, /^VM 150 \(k3s-s1, on pve\) has it/);
    assert.match(todo, /terraform\/globals\.tfvars: name = /);
    assert.match(todo, /^\$ qm stop 150; qm destroy 150 --purge$/m);
    assert.equal(left, "Nothing was changed");
    await vmsAre(TEMPLATE, "k3s-s1");
    await pve.destroy(150);
  });

  test("Resource Conflicts · Validate IP address availability · configured in another VM", async () => {
    await pve.createVm(151, "nas", { ipconfig0: "ip=10.23.45.31/16,gw=10.23.0.1" });
    const { what, why, todo, left } = await refusalOf(copy, "tf-apply", ["--sandbox", "--yes"]);
    assert.equal(what, "VM k3s-s1 cannot have the address 10.23.45.31: it is taken");
    assert.match(why, /^VM 151 \(nas, on pve\) has it/);
    assert.match(todo, /terraform\/globals\.tfvars: ip = /);
    assert.equal(left, "Nothing was changed");
    await pve.destroy(151);
  });

  test("Resource Conflicts · Validate IP address availability · something answers there", async () => {
    // The whole of 127.0.0.0/8 is this machine, so this address answers.
    const values = 'ip = "127.0.45.31/8"\ngateway = "127.0.0.1"\n';
    const { what, why, todo, left } = await withGlobals(
      values,
      async () => await refusalOf(copy, "tf-apply", ["--yes"], asOwnNode()),
    );
    assert.equal(what, "VM k3s-s1 cannot have the address 127.0.45.31: something answers there");
    assert.match(why, /another machine/);
    assert.deepEqual(commandsIn(todo), ["ip neigh show 127.0.45.31"]);
    assert.equal(left, "Nothing was changed");
    await vmsAre(TEMPLATE);
  });

  test("Resource Conflicts · Validate IP address availability · nobody answers", async () => {
    // Set aside for documents (RFC 5737): no machine has it.
    assert.deepEqual([...(await answering(["192.0.2.17", "127.0.0.1"]))], ["127.0.0.1"]);
  });
});

describe("Cloud-init Failures", () => {
  for (const [title, text, why] of [
    ["cut short", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBXRK5CLWFa1 ann@laptop\n", /one OpenSSH public key/],
    ["the private half", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn\n", /holds a private key/],
    ["a path in place of the key", "/home/ann/.ssh/id_ed25519.pub\n", /whole and not its path/],
  ] as const) {
    test(`Cloud-init Failures · Validate SSH key format · ${title}`, async () => {
      const file = join(copy.home, "key.pub");
      writeFileSync(file, text);
      const told = await refusalOf(copy, "tf-plan", [], asOwnNode({ SSH_PUBLIC_KEY_FILE: file }));
      assert.equal(told.exitCode, 2);
      assert.equal(told.what, "k3s-single cannot be planned");
      assert.match(told.why, why);
      assert.match(told.todo, /SSH_PUBLIC_KEY_FILE/);
      assert.match(told.todo, /^\$ ssh-keygen -t ed25519$/m);
      // A private key that was pasted in the wrong place does not get into a log as well.
      assert.ok(!JSON.stringify(told).includes("b3Blbn"));
      await vmsAre(TEMPLATE);
    });
  }

  for (const [values, name, why] of [
    [
      'ip = "10.23.45.31"',
      "ip",
      /ip must be an IPv4 address with its prefix length, such as 10\.23\.45\.31\/24/,
    ],
    ['ip = "10.23.45.31/24"\ngateway = "10.23.46.1"', "gateway", /gateway must lie in the network of ip/],
    ['nameserver = "router.lan"', "nameserver", /nameserver must be the IP address of one DNS server/],
  ] as const) {
    test(`Cloud-init Failures · Check network configuration syntax · ${name}`, async () => {
      const told = await withGlobals(
        `${values}\n`,
        async () => await refusalOf(copy, "tf-plan", ["--sandbox"]),
      );
      assert.equal(told.exitCode, 2);
      assert.match(told.why, why);
      assert.match(told.todo, new RegExp(`^Change it in terraform/globals\\.tfvars: ${name} = `, "m"));
      await vmsAre(TEMPLATE);
    });
  }

  describe("in a VM that has started", () => {
    const { signal } = new AbortController();
    const vmid = 160;
    let shell: NodeShell;
    let vm: Vm;

    before(async () => {
      const { sshHost: host, sshUser: user, sshPort: port, sshConfigFile: configFile } = sandbox.endpoints;
      shell = new NodeShell({ host, user, port, configFile });
      await pve.task("POST", `/nodes/pve/qemu/9000/clone`, { newid: vmid, name: "k3s-s9", full: 1 });
      await pve.call("PUT", `/nodes/pve/qemu/${vmid}/config`, {
        ciuser: "admin",
        sshkeys: encodeURIComponent(publicKey()),
        ipconfig0: "ip=10.23.45.39/24,gw=10.23.45.1",
      });
      await pve.task("POST", `/nodes/pve/qemu/${vmid}/status/start`);
      vm = vmOf("admin");
      await waitForBoot(vm, signal);
    });
    after(async () => {
      await shell?.close();
      await pve.task("POST", `/nodes/pve/qemu/${vmid}/status/stop`);
      await pve.destroy(vmid);
    });

    function publicKey(): string {
      return paste(`cat '${sandbox.endpoints.sshPublicKeyFile}'`).stdout;
    }

    function vmOf(user: string): Vm {
      return new Vm(shell, {
        vmid,
        name: "k3s-s9",
        address: "10.23.45.39",
        user,
        jump: true,
        knownHostsFile: join(dir, "known_hosts"),
      });
    }

    /** What cloud-init leaves behind in a guest. */
    function inGuest(path: string, text: string): void {
      const file = join(dir, "guests", String(vmid), "rootfs", path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, text);
    }

    test("Cloud-init Failures · Provide cloud-init logs location", async () => {
      const words = "('scripts_user', RuntimeError('Runparts: 1 failures (runcmd) in 1 attempted commands'))";
      const printed = "/var/lib/cloud/instance/scripts/runcmd: line 3: nosuch-program: command not found";
      inGuest("run/cloud-init/status.json", JSON.stringify({ v1: { "modules-final": { errors: [words] } } }));
      inGuest("var/log/cloud-init-output.log", `Cloud-init v. 24.4 running 'modules:final'\n${printed}\n`);
      inGuest("var/log/cloud-init.log", "util.py[WARNING]: Running module scripts_user failed\n");
      const { what, why = "", todo, left } = await errorOf(waitForCloudInit(vm, signal));
      assert.equal(what, "cloud-init failed on 10.23.45.39");
      assert.ok(why.startsWith("status: error\n"), why);
      assert.ok(why.includes(words) && why.endsWith(printed), why);
      assert.deepEqual(left, ["The VM is left as it is"]);
      assert.match(
        todo.join("\n"),
        /\/var\/log\/cloud-init-output\.log and \/var\/log\/cloud-init\.log on the VM/,
      );
      const [status = "", output = "", log = "", again] = commandsIn(todo.join("\n"));
      assert.match(paste(status).stdout, /extended_status: error - done/);
      assert.ok(paste(output).stdout.includes(printed));
      assert.match(paste(log).stdout, /Running module scripts_user failed/);
      assert.equal(again, "npm run tf-apply -- --replace k3s-s9");
    });

    test("Cloud-init Failures · Provide cloud-init logs location · the VM lets nobody in", async () => {
      inGuest("var/log/cloud-init-output.log", "no user data was found\n");
      const { what, todo, why } = await errorOf(waitForCloudInit(vmOf("nobody-it-made"), signal));
      assert.match(what, /^SSH to nobody-it-made@10\.23\.45\.39 through root@127\.0\.0\.1:\d+ failed$/);
      assert.match(why ?? "", /It lets none of your keys in/);
      const byAgent = commandsIn(todo.join("\n")).filter((line) => line.includes("qm guest exec"));
      assert.equal(byAgent.length, 2);
      assert.match(paste(byAgent[1] ?? "").stdout, /no user data was found/);
    });

    test("Cloud-init Failures · Provide cloud-init logs location · it complains and goes on", async () => {
      const v1 = { init: { recoverable_errors: { WARNING: ["Failed loading yaml blob"] } } };
      inGuest("run/cloud-init/status.json", JSON.stringify({ v1 }));
      assert.match(
        (await waitForCloudInit(vm, signal)) ?? "",
        /done, with warnings: see \/var\/log\/cloud-init-output\.log/,
      );
    });
  });
});
