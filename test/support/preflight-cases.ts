import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CheckResult } from "../../lib/check/index.ts";
import type { FaultRule } from "../../lib/sandbox/index.ts";
import type { Changes } from "./preflight.ts";

/** The checks that need SSH alone. */
export const OF_SSH = ["host-key", "ssh", "qm", "resolver", "cpu"];
/** What needs an API that can be asked. */
const ASKING = [
  ...[
    "privileges",
    "version",
    "online",
    "storages",
    "bridge",
    "iso",
    "template",
    "vms",
    "addresses",
    "clock",
  ],
];

/** A node, or settings, of which something is wrong, and what is told then. */
interface NodeCase {
  readonly title: string;
  readonly check: string;
  readonly faults?: readonly FaultRule[];
  readonly changes?: () => Changes;
  readonly state?: CheckResult["state"];
  readonly says: RegExp;
  readonly fix: RegExp;
  /** What cannot be known then. */
  readonly unknown?: readonly string[];
}

const node = (effect: Extract<FaultRule, { where: "node" }>["effect"]): readonly FaultRule[] => [
  { where: "node", effect },
];

/** Every check shown finding something. @param base a folder for files that a case needs */
export function nodeCases(base: string): readonly NodeCase[] {
  return [
    {
      title: "a name that leads nowhere",
      check: "name",
      changes: () => ({ PM_API_URL: "https://nowhere.invalid:8006/api2/json" }),
      says: /The name nowhere\.invalid is not known/,
      fix: /^\$ getent hosts nowhere\.invalid$/m,
      unknown: ["api", "certificate", "token", ...ASKING],
    },
    {
      title: "a port on which nothing listens",
      check: "api",
      changes: () => ({ PM_API_URL: "https://127.0.0.1:1/api2/json" }),
      says: /Nothing listens there \(connection refused\)/,
      fix: /^\$ curl -k https:\/\/127\.0\.0\.1:1$/m,
      unknown: ["certificate", "token", ...ASKING],
    },
    {
      title: "a proxy that answers in its place",
      check: "api",
      faults: [{ where: "api", count: "always", effect: { page: 502 } }],
      says: /what answered is not the Proxmox API/,
      fix: /use the node's own address as PM_API_URL/,
      unknown: ["token", ...ASKING],
    },
    {
      title: "a certificate that has expired",
      check: "certificate",
      faults: [{ where: "tls", count: "always", effect: { certificate: "expired" } }],
      says: /The certificate has expired on \d{4}-\d\d-\d\d/,
      fix: /^\$ pvecm updatecerts --force/m,
      unknown: ["api", "token", ...ASKING],
    },
    {
      title: "a certificate of another authority than PM_TLS_CA",
      check: "certificate",
      faults: [{ where: "tls", count: "always", effect: { certificate: "foreign" } }],
      says: /The CA in PM_TLS_CA \(.*\) has not signed the certificate[\s\S]*SHA-256 fingerprint:\n([0-9A-F]{2}:){31}/,
      fix: /^\$ ssh .* > ~\/pve-root-ca\.pem$/m,
      unknown: ["api", "token", ...ASKING],
    },
    {
      title: "a certificate that nothing vouches for",
      check: "certificate",
      changes: () => ({ PM_TLS_CA: undefined }),
      says: /signed by an authority that this machine does not know[\s\S]*SHA-256 fingerprint:\n([0-9A-F]{2}:){31}/,
      fix: /^\$ pvenode cert info\nThen, in \.env: PM_TLS_FINGERPRINT=([0-9A-F]{2}:){31}/m,
      unknown: ["api", "token", ...ASKING],
    },
    {
      title: "a certificate other than the pinned one",
      check: "certificate",
      changes: () => ({ PM_TLS_CA: undefined, PM_TLS_FINGERPRINT: Array(32).fill("AB").join(":") }),
      says: /not the pinned one: PM_TLS_FINGERPRINT is AB:AB/,
      fix: /somebody may be answering in the node's place: do not go on/,
      unknown: ["api", "token", ...ASKING],
    },
    {
      title: "a certificate that is not verified at all",
      check: "certificate",
      state: "warning",
      changes: () => ({ PM_TLS_CA: undefined, PM_TLS_INSECURE: "true" }),
      says: /the token goes to whoever answers in the node's place/,
      fix: /instead of PM_TLS_INSECURE: PM_TLS_FINGERPRINT=/,
    },
    {
      title: "a secret that is not the token's",
      check: "token",
      changes: () => ({ PM_API_TOKEN_SECRET: "00000000-0000-4000-8000-000000000000" }),
      says: /The token homelab@pve!tasks is not accepted/,
      fix: /^\$ npm run pve-init$/m,
      unknown: ASKING,
    },
    {
      title: "Proxmox VE 7",
      check: "version",
      faults: node({ version: "7.4-3" }),
      says: /Proxmox VE 7\.4-3 is not supported/,
      fix: /Upgrade the node to Proxmox VE 9/,
      unknown: ["privileges"],
    },
    {
      title: "a node that the cluster does not have",
      check: "online",
      changes: () => ({ PM_NODE: "elsewhere" }),
      says: /The cluster has no node elsewhere: pve is online/,
      fix: /Set PM_NODE/,
    },
    {
      title: "a storage that there is not",
      check: "storages",
      changes: () => ({ PM_STORAGE: "local-lvm" }),
      says: /There is no storage local-lvm for disks of VMs[\s\S]*there are local, vmdata|vmdata, local/,
      fix: /Set PM_STORAGE to one of them/,
    },
    {
      title: "a storage that is full",
      check: "storages",
      faults: [{ where: "storage", match: "vmdata", effect: { size: 1_000_000_000 } }],
      says: /The storage vmdata \(PM_STORAGE\) is nearly full: .* 32\.0 GiB are wanted for disks of VMs/,
      fix: /^\$ npm run leftovers$/m,
    },
    {
      title: "a storage that is not reached",
      check: "storages",
      faults: [{ where: "storage", match: "vmdata", effect: { offline: true } }],
      says: /The storage vmdata \(PM_STORAGE\) is not active/,
      fix: /^\$ pvesm status$/m,
    },
    {
      title: "a storage that takes no ISOs",
      check: "storages",
      changes: () => ({ PM_ISO_STORAGE: "vmdata" }),
      says: /The storage vmdata \(PM_ISO_STORAGE\) does not take ISO images: it takes images, rootdir/,
      fix: /^\$ pvesm set vmdata --content images,rootdir,iso$/m,
    },
    {
      title: "a bridge that there is not",
      check: "bridge",
      changes: () => ({ PM_BRIDGE: "vmbr7" }),
      says: /no bridge vmbr7, .*there are vmbr0/,
      fix: /Set PM_BRIDGE to one of them/,
    },
    {
      title: "a list of ISOs that is refused",
      check: "iso",
      faults: [
        {
          where: "api",
          match: "GET /nodes/pve/storage/local/content",
          effect: { status: 500, message: "no" },
        },
      ],
      says: /Proxmox refused GET \/nodes\/pve\/storage\/local\/content/,
      fix: /^\$ journalctl /m,
    },
    {
      title: "a host key that is not known",
      check: "host-key",
      changes: () => ({ PM_SSH_CONFIG: strangersConfig(base) }),
      says: /Its host key is not known here/,
      fix: /compare the fingerprint[\s\S]*^\$ ssh -F /m,
      unknown: OF_SSH.filter((name) => name !== "host-key"),
    },
    {
      title: "another host key than before",
      check: "host-key",
      faults: [{ where: "ssh", count: "always", effect: { hostKey: "foreign" } }],
      says: /Its host key is another one than before/,
      fix: /do not go on/,
      unknown: OF_SSH.filter((name) => name !== "host-key"),
    },
    {
      title: "a node that lets nobody in",
      check: "ssh",
      faults: [{ where: "ssh", count: "always", effect: { auth: "refused" } }],
      says: /It lets none of your keys in/,
      fix: /^\$ ssh-copy-id /m,
      unknown: ["qm", "resolver", "cpu"],
    },
    {
      title: "a port without sshd",
      check: "ssh",
      changes: () => ({ PM_SSH_PORT: "1" }),
      says: /Nothing listens there \(connection refused\)/,
      fix: /Check PM_SSH_HOST and PM_SSH_PORT/,
      unknown: OF_SSH.filter((name) => name !== "ssh"),
    },
    {
      title: "somebody who is not root",
      check: "qm",
      faults: [{ where: "command", match: "id -u", count: "always", effect: { exit: 0, stdout: "1000\n" } }],
      says: /root is not root on 127\.0\.0\.1: qm takes a file of the node from nobody else/,
      fix: /Set PM_SSH_USER=root/,
    },
    {
      title: "a node without qm",
      check: "qm",
      faults: [
        {
          where: "command",
          match: "qm list",
          count: "always",
          effect: { exit: 127, stderr: "bash: line 1: qm: command not found\n" },
        },
      ],
      says: /qm cannot be used on 127\.0\.0\.1: .*command not found/,
      fix: /PM_SSH_HOST to the node itself/,
    },
    {
      title: "a clock that is half a minute ahead",
      check: "clock",
      state: "warning",
      faults: node({ clock: 30_000 }),
      says: /The node's clock is (2\d\.\d|30\.\d) s ahead of ours \(by the date of its API's answers\)/,
      fix: /^\$ timedatectl$/m,
    },
    {
      title: "a clock that is an hour behind",
      check: "clock",
      faults: node({ clock: -3_600_000 }),
      says: /The node's clock is (59|60) min \d+ s behind ours/,
      fix: /^\$ systemctl restart chrony/m,
    },
    {
      title: "a node that finds no names",
      check: "resolver",
      state: "warning",
      faults: [{ where: "command", match: "getent *", count: "always", effect: { exit: 2 } }],
      says: /The node does not find repo\.almalinux\.org/,
      fix: /^\$ cat \/etc\/resolv\.conf$/m,
    },
    {
      title: "an old processor",
      check: "cpu",
      faults: node({ cpu: "fpu sse sse2 vmx cx16 lahf_lm" }),
      says: /lacks popcnt, sse4_1, sse4_2, ssse3, aes, which x86-64-v2-AES needs/,
      fix: /AlmaLinux 9 needs a processor of 2009 or later/,
    },
    {
      title: "a processor that does not virtualise",
      check: "cpu",
      faults: node({ cpu: "cx16 lahf_lm popcnt sse4_1 sse4_2 ssse3 aes" }),
      says: /does not virtualise \(neither vmx nor svm\)/,
      fix: /Switch it on in the firmware/,
    },
  ];
}

/** A configuration of ssh that knows no host. */
function strangersConfig(base: string): string {
  const file = join(base, "strangers");
  const lines = ["UserKnownHostsFile /dev/null", "GlobalKnownHostsFile /dev/null"];
  writeFileSync(file, `Host *\n  ${lines.join("\n  ")}\n`);
  return file;
}
