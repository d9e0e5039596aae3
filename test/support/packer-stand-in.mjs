import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Plays `packer build` with the plugin for Proxmox, which comes from its publisher's release alone: the calls that the
 * real one makes, in their order, the lines it prints, the manifest it writes. It installs nothing.
 * $STAND_IN_MOMENTS: a file that gets a line for each moment it comes to; $STAND_IN_HOLD: the moment at which it waits until
 * the file $STAND_IN_GO is there.
 */

const variable = (name) => process.env[`PKR_VAR_${name}`] ?? "";
const name = variable("image_version");
const qemu = `/nodes/${variable("proxmox_node")}/qemu`;

function say(text) {
  process.stdout.write(`${Math.floor(Date.now() / 1000)},,ui,say,==> proxmox-iso.image: ${text}\n`);
}

async function moment(called) {
  appendFileSync(process.env.STAND_IN_MOMENTS, `${called}\n`);
  if (process.env.STAND_IN_HOLD !== called) return;
  while (!existsSync(process.env.STAND_IN_GO)) await sleep(50);
}

async function call(method, path, parameters = {}) {
  const text = await new Promise((resolve, reject) => {
    const outgoing = request(
      `${variable("proxmox_url")}${path}`,
      {
        method,
        ca: readFileSync(process.env.SSL_CERT_FILE),
        headers: {
          authorization: `PVEAPIToken=${variable("proxmox_username")}=${variable("proxmox_token")}`,
          ...(method === "GET" ? {} : { "content-type": "application/x-www-form-urlencoded" }),
        },
      },
      (answer) => {
        let body = "";
        answer.setEncoding("utf8").on("data", (chunk) => {
          body += chunk;
        });
        answer.on("end", () =>
          answer.statusCode === 200
            ? resolve(body)
            : reject(new Error(`${method} ${path}: ${answer.statusMessage} ${body}`)),
        );
      },
    );
    outgoing.on("error", reject);
    outgoing.end(method === "GET" ? undefined : new URLSearchParams(parameters).toString());
  });
  const { data } = JSON.parse(text);
  if (typeof data !== "string" || !data.startsWith("UPID:")) return data;
  for (;;) {
    const task = await call(
      "GET",
      `/nodes/${variable("proxmox_node")}/tasks/${encodeURIComponent(data)}/status`,
    );
    if (task.status === "stopped") {
      if (task.exitstatus !== "OK") throw new Error(`${method} ${path}: ${task.exitstatus}`);
      return undefined;
    }
    await sleep(50);
  }
}

async function build() {
  const storage = variable("proxmox_storage");
  await moment("before the VM");
  const vmid = await call("GET", "/cluster/nextid");
  const run = variable("build_run");
  await call("POST", qemu, {
    vmid,
    name,
    tags: ["alma9", "homelab", "k3s", "amd64", ...(run === "" ? [] : [`run-${run}`])].join(";"),
    description: "Packer ephemeral build VM",
    agent: "1",
    bios: "ovmf",
    machine: "q35",
    ostype: "l26",
    cpu: "x86-64-v2-AES",
    cores: "2",
    memory: "4096",
    scsihw: "virtio-scsi-single",
    efidisk0: `${storage}:1,efitype=4m,format=qcow2,pre-enrolled-keys=0`,
    scsi0: `${storage}:2,format=qcow2,discard=on,ssd=1`,
    net0: `virtio,bridge=${variable("proxmox_bridge")}`,
    serial0: "socket",
    boot: "order=scsi0",
  });
  const vm = `${qemu}/${vmid}`;
  await call("POST", `${vm}/status/start`);
  say("Waiting 10s for boot");
  say("Typing the boot command");
  say("Waiting for SSH to become available...");
  await moment("installing");
  say("Connected to SSH!");
  for (const step of ["os-update", "guest-agent", "k3s-install", "hardening-oscap", "cleanup", "verify"])
    say(`homelab-step: ${step}: done`);
  await call("POST", `${vm}/status/stop`);
  await moment("stopped");
  await call("POST", `${vm}/template`);
  await moment("template");
  await call("POST", `${vm}/config`, {
    name,
    description: `Golden image ${name}: AlmaLinux 9 with k3s ${variable("k3s_version")}, made by homelab.`,
    ide0: `${storage}:cloudinit`,
  });
  await moment("finished");
  const manifest = {
    builds: [
      {
        name: "image",
        builder_type: "proxmox-iso",
        build_time: Math.floor(Date.now() / 1000),
        files: null,
        artifact_id: String(vmid),
        packer_run_uuid: "6f1cbb54-3d5e-4f0a-9c55-000000000001",
        custom_data: { image_version: name },
      },
    ],
    last_run_uuid: "6f1cbb54-3d5e-4f0a-9c55-000000000001",
  };
  writeFileSync(join(variable("log_directory"), "manifest.json"), JSON.stringify(manifest));
  await moment("manifest");
}

const [command] = process.argv.slice(2);
if (command === "version") process.stdout.write("Packer v1.15.0\n");
else if (command === "describe")
  process.stdout.write('{"version":"1.2.3","sdk_version":"0.6.0","api_version":"x5.0","builders":["iso"]}\n');
else if (command === "build") await build();
else process.exitCode = 2;
