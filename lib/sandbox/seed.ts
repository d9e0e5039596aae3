import { randomUUID } from "node:crypto";
import { join } from "node:path";
import {
  asIn,
  hashSecret,
  type Privilege,
  type PveRelease,
  readIfThere,
  type WorldPlan,
  writeFileAtomic,
} from "./world/index.ts";

/** Names of what a new sandbox comes with. */
export const NAMES = {
  node: "pve",
  user: "homelab@pve",
  token: "tasks",
  storage: "vmdata",
  isoStorage: "local",
  bridge: "vmbr0",
} as const;

/** What OpenTofu and Packer need on the VMs: measured on a real node by taking each privilege away. */
const VM_PRIVILEGES: readonly Privilege[] = [
  "VM.Allocate",
  "VM.Audit",
  "VM.Clone",
  "VM.Config.CDROM",
  "VM.Config.CPU",
  "VM.Config.Cloudinit",
  "VM.Config.Disk",
  "VM.Config.HWType",
  "VM.Config.Memory",
  "VM.Config.Network",
  "VM.Config.Options",
  "VM.Console",
  "VM.GuestAgent.Audit",
  "VM.PowerMgmt",
];

/** The world of a new sandbox: like a small real node, with one token that may do what the tasks do and no more. */
export function sandboxPlan(tokenSecret: string, release: PveRelease = 9): WorldPlan {
  const tokenId = `${NAMES.user}!${NAMES.token}`;
  const grants = {
    HomelabVms: "/vms",
    HomelabStorage: `/storage/${NAMES.storage}`,
    HomelabImages: `/storage/${NAMES.isoStorage}`,
    HomelabNetwork: `/sdn/zones/localnetwork/${NAMES.bridge}`,
  };
  return {
    node: NAMES.node,
    release,
    storages: [
      {
        id: NAMES.isoStorage,
        type: "dir",
        path: "/var/lib/vz",
        content: ["backup", "iso", "vztmpl", "snippets", "import", "images", "rootdir"],
      },
      { id: NAMES.storage, type: "dir", path: "/var/lib/vmdata", content: ["images", "rootdir"] },
    ],
    bridges: [{ name: NAMES.bridge, cidr: "10.23.45.2/24", gateway: "10.23.45.1" }],
    access: {
      users: [
        { userid: "root@pam", tokens: {} },
        {
          userid: NAMES.user,
          // The marks of pve-init, which would have made just this.
          comment: `homelab pve-init: ${Object.keys(grants).sort().join(" ")}`,
          tokens: {
            [NAMES.token]: {
              privsep: true,
              comment: "homelab pve-init",
              secretHash: hashSecret(tokenSecret),
            },
          },
        },
      ],
      roles: {
        HomelabVms: asIn(release, VM_PRIVILEGES),
        HomelabStorage: ["Datastore.AllocateSpace", "Datastore.Audit"],
        // Packer's kickstart volume comes and goes.
        HomelabImages: ["Datastore.Allocate", "Datastore.AllocateTemplate", "Datastore.Audit"],
        HomelabNetwork: ["SDN.Use"],
      },
      // A token with privileges of its own has those that both it and its user have.
      acl: Object.entries(grants).flatMap(([roleid, path]) => [
        { path, type: "user" as const, ugid: NAMES.user, roleid, propagate: true },
        { path, type: "token" as const, ugid: tokenId, roleid, propagate: true },
      ]),
    },
  };
}

/** The token's secret, made once for each sandbox. */
export function tokenSecret(dir: string): string {
  const file = join(dir, "state", "token-secret");
  const known = readIfThere(file)?.trim();
  if (known) return known;
  const secret = randomUUID();
  writeFileAtomic(file, `${secret}\n`);
  return secret;
}
