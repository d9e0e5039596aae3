import assert from "node:assert/strict";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, test } from "node:test";
import { InterruptedError, TaskError, UsageError } from "../../lib/errors.ts";
import { inventory, ProxmoxApi, shutDown } from "../../lib/proxmox/index.ts";
import { type Sandbox, startSandbox } from "../../lib/sandbox/index.ts";
import { ROOT, type Step, type StepControl } from "../../lib/task/index.ts";
import { runSteps } from "../../lib/task/run.ts";
import type { PlannedVm, VariableValue } from "../../lib/tofu/index.ts";
import { vmsKnown } from "../../lib/tofu/state.ts";
import { type ApplyDeps, type ApplyRequest, type ApplyResult, applySteps } from "../../tasks/tf-apply.ts";
import { destroySteps } from "../../tasks/tf-destroy.ts";
import type { EnvironmentRequest } from "../../tasks/tf-init.ts";
import { planSteps } from "../../tasks/tf-plan.ts";
import { PveApi } from "../support/pve.ts";
import { environmentOn, tofuTools } from "../support/tofu.ts";

/** The environment k3s-single with the real OpenTofu and provider, on the embedded node. */

const dir = mkdtempSync(join(tmpdir(), "tofu-sandbox-"));
const stateDir = join(dir, "tofu", "k3s-single");
const OLD = "debian-12-v1";
const NEW = "debian-12-v2";
const BIG = "debian-12-big";
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBXRK5CLWFa1aUdkLZexzJI8jAi4sGANxV0HLVdf7jrI ann@laptop";

/** What a shell may carry around; none of it may matter. */
const HOSTILE = {
  TF_CLI_CONFIG_FILE: "/does/not/exist",
  TF_CLI_ARGS: "-nonsense",
  TF_CLI_ARGS_plan: "-destroy",
  TF_DATA_DIR: "/does/not/exist",
  TF_WORKSPACE: "elsewhere",
  TF_VAR_name: "hijacked",
  TF_VAR_cores: "99",
  TF_VAR_ip: "nonsense",
  TF_VAR_pm_api_token_secret: "nonsense",
  PROXMOX_VE_ENDPOINT: "https://elsewhere.example.org",
  PROXMOX_VE_API_TOKEN: "nonsense",
  SSL_CERT_FILE: "/does/not/exist",
};

let sandbox: Sandbox;
let pve: PveApi;
let deps: ApplyDeps;

before(async () => {
  Object.assign(process.env, HOSTILE);
  const tools = await tofuTools();
  sandbox = await startSandbox({ dir });
  pve = new PveApi(sandbox.endpoints);
  await pve.createTemplate(9000, OLD);
  await pve.createTemplate(9001, NEW);
  await pve.createTemplate(9002, BIG, { scsi0: `${sandbox.endpoints.storage}:9,format=qcow2` });
  const { apiUrl, tokenId, tokenSecret, caFile } = sandbox.endpoints;
  const api = new ProxmoxApi({ url: new URL(apiUrl), tokenId, tokenSecret, tls: { caFile } });
  deps = {
    toolchain: async () => tools,
    trusted: async () => readFileSync(caFile, "utf8"),
    guests: (signal) => inventory(api, signal),
    shutDown: ({ node, vmid = 0 }, { signal }) => shutDown(api, { node, vmid }, signal),
  };
});

after(async () => {
  await sandbox?.stop();
  rmSync(dir, { recursive: true, force: true });
});

function environment(variables: Record<string, VariableValue> = {}): EnvironmentRequest {
  const plain = environmentOn(sandbox, ROOT);
  const own = { template: OLD, ssh_pubkey: KEY, memory: 4096, disk_size: "4G" };
  return { ...plain, stateDir, variables: { ...plain.variables, ...own, ...variables } };
}

interface Told {
  readonly notes: string[];
  readonly steps: Map<string, string>;
}

async function perform(steps: readonly Step[], signal = new AbortController().signal): Promise<Told> {
  const told: Told = { notes: [], steps: new Map() };
  await runSteps(steps, {
    signal,
    yes: true,
    reporter: {
      drawsList: false,
      step: ({ title, state }) => {
        told.steps.set(title, state);
      },
      output: () => {},
      note: (line) => {
        told.notes.push(line);
      },
    },
  });
  return told;
}

async function apply(
  variables: Record<string, VariableValue> = {},
  more: Partial<ApplyRequest> & { deps?: Partial<ApplyDeps> } = {},
): Promise<ApplyResult & Told> {
  let result: ApplyResult | undefined;
  const { deps: otherDeps, ...rest } = more;
  const told = await perform(
    applySteps(
      {
        ...environment(variables),
        ...rest,
        done: (done) => {
          result = done;
        },
      },
      { ...deps, ...otherDeps },
    ),
  );
  assert.ok(result, "the outputs were not told");
  return { ...result, ...told };
}

async function refused(action: Promise<unknown>): Promise<TaskError> {
  const error = await action.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof TaskError, `expected a refusal, got ${String(error)}`);
  return error;
}

describe("an environment's life on the embedded node", () => {
  let vmid: number;
  const changed = { cores: 2, memory: 2048, disk_size: "6G" };

  test("a template that is not there is refused with those that are", async () => {
    const { why, todo } = await refused(apply({ template: "debian-13" }));
    assert.match(why ?? "", /There is no template "debian-13" on node "pve"/);
    assert.match(why ?? "", /debian-12-big \(9002\), debian-12-v1 \(9000\), debian-12-v2 \(9001\)/);
    assert.match(todo.join("\n"), /build-image/);
  });

  test("a variable that breaks a rule is wrong configuration: exit code 2", async () => {
    const error = await refused(apply({ ip: "10.23.45.31" }));
    assert.ok(error instanceof UsageError);
    assert.match(error.why ?? "", /ip must be an IPv4 address with its prefix length/);
  });

  test("settings beat globals.tfvars, which beats the defaults; what the shell says does not count", async () => {
    const root = join(dir, "repository");
    cpSync(join(ROOT, "terraform"), join(root, "terraform"), {
      recursive: true,
      filter: (path) => !/\.terraform|\.tfstate|globals\.tfvars$/.test(path),
    });
    writeFileSync(
      join(root, "terraform", "globals.tfvars"),
      'cores = 3\nmemory = 1024\nip = "10.23.45.32/24"\n',
    );
    let vm: PlannedVm | undefined;
    await perform(
      planSteps({ ...environment(), root, stateDir: join(dir, "tofu", "globals") }, deps, (plan) => {
        vm = plan.changes[0]?.after;
      }),
    );
    const { name, cores, memory, addresses } = vm ?? {};
    assert.deepEqual(
      { name, cores, memory, addresses },
      {
        name: "k3s-s1",
        cores: 3,
        memory: 4096,
        addresses: ["10.23.45.32/24"],
      },
    );
  });

  test("a name that another VM has is refused", async () => {
    await pve.createVm(150, "k3s-s1");
    const { what, why } = await refused(apply());
    assert.match(what, /cannot have the name k3s-s1/);
    assert.match(why ?? "", /VM 150/);
    await pve.destroy(150);
  });

  test("an address that another VM has is refused", async () => {
    await pve.createVm(151, "nas", { ipconfig0: "ip=10.23.45.31/16,gw=10.23.0.1" });
    const { what, why } = await refused(apply());
    assert.match(what, /cannot have the address 10\.23\.45\.31/);
    assert.match(why ?? "", /VM 151 \(nas, on pve\)/);
    await pve.destroy(151);
  });

  test("an address that answers on the network is refused", async () => {
    const { what } = await refused(
      apply({}, { deps: { answering: async (addresses) => new Set(addresses) } }),
    );
    assert.match(what, /10\.23\.45\.31: something answers there/);
    assert.equal((await pve.vms()).length, 3, "nothing was made so far");
  });

  test("interrupted while it clones, the apply finishes what it has begun and says what is there", async () => {
    const interrupt = new AbortController();
    const steps = applySteps(environment(), deps).map((step) => ({
      ...step,
      run: (control: StepControl) =>
        step.run({
          ...control,
          output: (line) => {
            if (line.includes("making it")) interrupt.abort();
          },
        }),
    }));
    const error = await refused(perform(steps, interrupt.signal));
    assert.ok(error instanceof InterruptedError, String(error));
    // tofu lets the provider finish what it has begun, and writes its state.
    const vm = (await pve.vms()).find(({ name }) => name === "k3s-s1");
    assert.match(error.left.join("\n"), new RegExp(`VM ${vm?.vmid} \\(k3s-s1\\) exists and is in the state`));
    vmid = vm?.vmid ?? 0;
  });

  test("the next apply finds everything done, and only records the outputs", async () => {
    const { changed: done, notes } = await apply();
    assert.equal(done, false);
    assert.deepEqual(notes, ["No resource changes; outputs are recorded anew: vm_id"]);
  });

  test("the one after that changes nothing and says so", async () => {
    const { changed: done, outputs, notes, steps } = await apply();
    assert.equal(done, false);
    assert.deepEqual(notes, ["Nothing to change: everything is as configured"]);
    assert.equal(steps.get("Apply the plan to k3s-single"), "skipped");
    assert.deepEqual(outputs, {
      vm_id: vmid,
      ip_address: "10.23.45.31/24",
      kubectl_context: "k3s-single",
      vm_name: "k3s-s1",
      node: "pve",
      template: OLD,
      ci_user: "admin",
    });
  });

  test("the VM is as the specification has it", async () => {
    const config = await pve.config(vmid);
    const wanted: Record<string, RegExp> = {
      name: /^k3s-s1$/,
      bios: /^ovmf$/,
      machine: /^q35$/,
      cores: /^4$/,
      memory: /^4096$/,
      balloon: /^0$/,
      cpu: /^x86-64-v2-AES$/,
      scsihw: /^virtio-scsi-single$/,
      scsi0: /^vmdata:.*discard=on.*iothread=1.*size=4G.*ssd=1/,
      efidisk0: /^vmdata:.*efitype=4m/,
      ide2: /^vmdata:.*cloudinit.*media=cdrom/,
      net0: /^virtio=[0-9A-F:]{17},bridge=vmbr0/,
      serial0: /^socket$/,
      agent: /enabled=1/,
      ciuser: /^admin$/,
      sshkeys: /^ssh-ed25519%20AAAA/,
      ipconfig0: /^(?=.*ip=10\.23\.45\.31\/24)(?=.*gw=10\.23\.45\.1)/,
      nameserver: /^10\.23\.45\.1$/,
      tags: /^homelab;k3s$/,
      onboot: /^1$/,
    };
    for (const [name, form] of Object.entries(wanted)) assert.match(String(config[name] ?? ""), form, name);
    assert.equal(config.cicustom, undefined, "without user_data there is no cicustom");
    assert.deepEqual(
      Object.keys(config)
        .filter((name) => /^(scsi|virtio|sata|ide|net)\d+$/.test(name))
        .sort(),
      ["ide2", "net0", "scsi0"],
    );
  });

  test("state and plugins lie with the sandbox, and no secret is in the state", async () => {
    const state = join(stateDir, "terraform.tfstate");
    assert.equal(statSync(stateDir).mode & 0o777, 0o700);
    assert.ok(existsSync(join(stateDir, ".terraform")));
    assert.match(readFileSync(state, "utf8"), /"k3s-s1"/);
    assert.deepEqual(
      await vmsKnown(join(ROOT, "terraform", "envs", "k3s-single"), stateDir),
      new Set([vmid]),
    );
    assert.ok(!readFileSync(state, "utf8").includes(sandbox.endpoints.tokenSecret));
    assert.equal(existsSync(join(ROOT, "terraform", "envs", "k3s-single", "terraform.tfstate")), false);
  });

  test("a plan shows a change and makes none", async () => {
    let changes: readonly string[] = [];
    await perform(
      planSteps(environment({ cores: 2 }), deps, (plan) => {
        changes = plan.changes.flatMap(({ attributes }) => attributes.map(({ path }) => path));
      }),
    );
    assert.deepEqual(changes, ["cpu.cores"]);
    assert.equal((await pve.config(vmid)).cores, 4);
  });

  test("cores, memory and disk change in place", async () => {
    const { changed: done, outputs } = await apply(changed);
    assert.deepEqual({ done, vmid: outputs.vm_id }, { done: true, vmid });
    const { cores, memory, scsi0 } = await pve.config(vmid);
    assert.deepEqual({ cores, memory }, { cores: 2, memory: "2048" });
    assert.match(String(scsi0), /size=6G/);
  });

  test("a disk cannot shrink, and that is said before anything is touched", async () => {
    const { what } = await refused(apply({ ...changed, disk_size: "5G" }));
    assert.match(what, /scsi0 of VM k3s-s1 cannot shrink to 5 GB/);
  });

  test("a new template replaces no VM", async () => {
    const { changed: done, outputs } = await apply({ ...changed, template: NEW });
    assert.deepEqual(
      { done, vmid: outputs.vm_id, template: outputs.template },
      { done: false, vmid, template: NEW },
    );
  });

  test("a plan that replaces the VM is refused, and nothing is changed", async () => {
    const { what, why, todo } = await refused(apply({ ...changed, user_data: "k3s-s1.yaml" }));
    assert.match(what, new RegExp(`would replace VM k3s-s1 \\(${vmid} on pve\\): refused`));
    assert.match(why ?? "", /user_data_file_id cannot be changed in a VM that exists/);
    assert.match(todo.join("\n"), /\$ npm run tf-apply -- --sandbox --env k3s-single --allow-replace k3s-s1/);
    assert.equal((await pve.config(vmid)).cores, 2);
  });

  test("another VM's name does not allow it", async () => {
    await refused(apply({ ...changed, user_data: "k3s-s1.yaml" }, { allowReplace: ["k3s-s2"] }));
  });

  const replacement = { ...changed, user_data: "k3s-s1.yaml", template: BIG };

  test("a replacement that fails leaves the old VM, starts it again, and says what is there", async () => {
    const power: string[] = [];
    const error = await refused(
      apply(replacement, {
        allowReplace: ["k3s-s1"],
        deps: {
          // Without the templates' sizes nobody notices in time that the disk is too small.
          guests: async (signal) => (await deps.guests(signal)).map(({ disks: _, ...guest }) => guest),
          shutDown: async (vm) => {
            power.push(`down ${vm.vmid}`);
            return async () => void power.push(`up ${vm.vmid}`);
          },
        },
      }),
    );
    assert.match(error.why ?? "", /disk resize failure/);
    assert.deepEqual(power, [`down ${vmid}`, `up ${vmid}`]);
    const halfMade = (await pve.vms()).find((vm) => vm.name === "k3s-s1" && vm.vmid !== vmid)?.vmid;
    assert.match(error.left.join("\n"), new RegExp(`VM ${halfMade} \\(k3s-s1\\) exists and is in the state`));
    assert.match(error.left.join("\n"), new RegExp(`Rolled back: VM k3s-s1 \\(${vmid}\\) started again`));
    assert.ok(await pve.config(vmid), "the old one is there");
  });

  test("what was half made is made anew only by name, from the template that the settings name", async () => {
    const { why } = await refused(apply({ ...replacement, template: NEW }));
    assert.match(why ?? "", /an earlier run made it only half/);
    const { outputs } = await apply({ ...replacement, template: NEW }, { allowReplace: ["k3s-s1"] });
    assert.notEqual(outputs.vm_id, vmid);
    vmid = Number(outputs.vm_id);
    assert.equal((await pve.config(vmid)).cicustom, "user=local:snippets/k3s-s1.yaml");
    assert.deepEqual(
      (await pve.vms()).filter(({ template }) => template !== 1).map((vm) => vm.vmid),
      [vmid],
      "neither the old nor the half-made one is left",
    );
  });

  test("without a terminal nothing is destroyed that was not named", async () => {
    const { what } = await refused(perform(destroySteps(environment(changed), deps)));
    assert.match(what, /needs an answer/);
    assert.equal((await pve.vms()).length, 4);
  });

  test("destroying lists what goes, also when the template is gone, and leaves the templates", async () => {
    // A disk of a VM that had the number before, kept by whoever removed it.
    const kept = join(dir, "rootfs", "var/lib/vmdata/images", String(vmid), `vm-${vmid}-disk-7.raw`);
    writeFileSync(kept, "data");
    let gone: readonly string[] = [];
    const { notes } = await perform(
      destroySteps(
        {
          ...environment({ ...changed, template: "no-longer-there" }),
          confirmed: true,
          done: (lines) => {
            gone = lines;
          },
        },
        deps,
      ),
    );
    assert.match(
      notes.join("\n"),
      /VM k3s-s1 .* will be DESTROYED[\s\S]*disk scsi0 of 6 GB[\s\S]*10\.23\.45\.31\/24/,
    );
    assert.deepEqual(gone, [`VM k3s-s1 (${vmid} on pve)`]);
    assert.deepEqual((await pve.vms()).map(({ name }) => name).sort(), [BIG, OLD, NEW]);
    assert.deepEqual(readdirSync(dirname(kept)), [`vm-${vmid}-disk-7.raw`]);
  });

  test("destroying what is not there is no error", async () => {
    const { steps } = await perform(destroySteps({ ...environment(), confirmed: true }, deps));
    assert.equal(steps.get("Destroy k3s-single"), "done");
  });
});
