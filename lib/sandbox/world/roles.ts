import type { PveRelease } from "./release.ts";

/** Every privilege of Proxmox VE 8 and 9. */
const PRIVILEGES = [
  "Datastore.Allocate",
  "Datastore.AllocateSpace",
  "Datastore.AllocateTemplate",
  "Datastore.Audit",
  "Group.Allocate",
  "Mapping.Audit",
  "Mapping.Modify",
  "Mapping.Use",
  "Permissions.Modify",
  "Pool.Allocate",
  "Pool.Audit",
  "Realm.Allocate",
  "Realm.AllocateUser",
  "SDN.Allocate",
  "SDN.Audit",
  "SDN.Use",
  "Sys.AccessNetwork",
  "Sys.Audit",
  "Sys.Console",
  "Sys.Incoming",
  "Sys.Modify",
  "Sys.PowerMgmt",
  "Sys.Syslog",
  "User.Modify",
  "VM.Allocate",
  "VM.Audit",
  "VM.Backup",
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
  "VM.GuestAgent.FileRead",
  "VM.GuestAgent.FileSystemMgmt",
  "VM.GuestAgent.FileWrite",
  "VM.GuestAgent.Unrestricted",
  "VM.Migrate",
  "VM.Monitor",
  "VM.PowerMgmt",
  "VM.Replicate",
  "VM.Snapshot",
  "VM.Snapshot.Rollback",
] as const;

export type Privilege = (typeof PRIVILEGES)[number];

const AGENT = "VM.GuestAgent.";
const REPLICATE = "VM.Replicate";
const MONITOR = "VM.Monitor";

/** The privileges that a release has: 9 has several for the guest agent where 8 has the one for QEMU's monitor, and one more. */
export function privilegesOf(release: PveRelease): readonly Privilege[] {
  if (release === 9) return PRIVILEGES.filter((name) => name !== MONITOR);
  return PRIVILEGES.filter((name) => !name.startsWith(AGENT) && name !== REPLICATE);
}

/**
 * The privileges that a release asks for where the schema, which is that of 9, asks for these.
 * @returns each once
 */
export function asIn(release: PveRelease, privileges: readonly Privilege[]): readonly Privilege[] {
  if (release === 9) return privileges;
  return [...new Set(privileges.map((name) => (name.startsWith(AGENT) ? MONITOR : name)))];
}

/** Whether a text names a privilege of any release. */
export function isPrivilege(text: string): text is Privilege {
  return PRIVILEGES.some((known) => known === text);
}

/** What PVEAdmin may not: change permissions and the node's own system. */
const NOT_FOR_PVE_ADMIN: readonly Privilege[] = [
  "Mapping.Modify",
  "Permissions.Modify",
  "Realm.Allocate",
  "Sys.AccessNetwork",
  "Sys.Incoming",
  "Sys.Modify",
  "Sys.PowerMgmt",
];

/** Roles by name. */
export type Roles = Readonly<Record<string, readonly Privilege[]>>;

/** The roles that every node of a release has. */
export function builtInRoles(release: PveRelease): Roles {
  const all = privilegesOf(release);
  const below = (prefix: string): Privilege[] => all.filter((name) => name.startsWith(prefix));
  const roles: Roles = {
    Administrator: all,
    NoAccess: [],
    PVEAdmin: all.filter((name) => !NOT_FOR_PVE_ADMIN.includes(name)),
    PVEAuditor: [
      "Datastore.Audit",
      "Mapping.Audit",
      "Pool.Audit",
      "SDN.Audit",
      "Sys.Audit",
      "VM.Audit",
      "VM.GuestAgent.Audit",
    ],
    PVEDatastoreAdmin: below("Datastore."),
    PVEDatastoreUser: ["Datastore.AllocateSpace", "Datastore.Audit"],
    PVEMappingAdmin: ["Mapping.Audit", "Mapping.Modify", "Mapping.Use"],
    PVEMappingUser: ["Mapping.Audit", "Mapping.Use"],
    PVEPoolAdmin: ["Pool.Allocate", "Pool.Audit"],
    PVEPoolUser: ["Pool.Audit"],
    PVESDNAdmin: ["SDN.Allocate", "SDN.Audit", "SDN.Use"],
    PVESDNUser: ["SDN.Audit", "SDN.Use"],
    PVESysAdmin: ["Sys.Audit", "Sys.Console", "Sys.Syslog"],
    PVETemplateUser: ["VM.Audit", "VM.Clone"],
    PVEUserAdmin: ["Group.Allocate", "Realm.AllocateUser", "User.Modify"],
    PVEVMAdmin: below("VM."),
    PVEVMUser: [
      "VM.Audit",
      "VM.Backup",
      "VM.Config.CDROM",
      "VM.Config.Cloudinit",
      "VM.Console",
      "VM.GuestAgent.Audit",
      "VM.GuestAgent.FileRead",
      "VM.GuestAgent.FileSystemMgmt",
      "VM.GuestAgent.FileWrite",
      "VM.PowerMgmt",
    ],
  };
  // A role of 8 leaves the guest agent out: there VM.Monitor is for administrators.
  return Object.fromEntries(
    Object.entries(roles).map(([name, privileges]) => [name, privileges.filter((one) => all.includes(one))]),
  );
}
