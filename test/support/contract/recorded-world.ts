import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { Faults } from "../../../lib/sandbox/faults/index.ts";
import {
  createImage,
  hashSecret,
  openWorld,
  type Privilege,
  type Storage,
  type VmConfig,
  type World,
  type WorldPlan,
} from "../../../lib/sandbox/world/index.ts";

/** What every token of the equal world has as its secret. */
export const SECRET = "00000000-0000-4000-8000-000000000000";

const KEY = "ssh-ed25519%20AAAAC3NzaC1lZDI1NTE5AAAAIBXRK5CLWFa1aUdkLZexzJI8jAi4sGANxV0HLVdf7jrI%20lab";

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
  "VM.PowerMgmt",
];

const token = { privsep: false, secretHash: hashSecret(SECRET) };

/** The node, users and roles of the recordings. */
const PLAN: WorldPlan = {
  node: "vm",
  storages: [
    {
      id: "local",
      type: "dir",
      path: "/var/lib/vz",
      content: ["backup", "iso", "vztmpl", "snippets", "import", "images", "rootdir"],
    },
    { id: "vmdata", type: "dir", path: "/var/lib/vmdata", content: ["images", "rootdir"] },
  ],
  bridges: [{ name: "vmbr0", cidr: "10.99.99.1/24", gateway: "10.99.99.254" }],
  hardware: { cpus: 2, memory: 25_274_793_984 },
  access: {
    users: [
      { userid: "root@pam", tokens: { lab: token } },
      {
        userid: "automation@pve",
        comment: "lab automation user",
        email: "",
        tokens: { iac: token },
      },
      { userid: "rectest@pve", comment: "privilege experiments", email: "", tokens: { iac: token } },
      { userid: "none@pve", tokens: { tok: token } },
    ],
    roles: {
      IaC: [
        ...VM_PRIVILEGES,
        "Datastore.AllocateSpace",
        "Datastore.AllocateTemplate",
        "Datastore.Audit",
        "Pool.Allocate",
        "Pool.Audit",
        "SDN.Use",
        "Sys.Audit",
        "VM.GuestAgent.Audit",
      ],
      "RT-sdn-zones-localnetwork": ["SDN.Use"],
      "RT-storage-vmdata": ["Datastore.AllocateSpace", "Datastore.Audit"],
      "RT-vms": VM_PRIVILEGES,
    },
    acl: [
      { path: "/", type: "user", ugid: "automation@pve", roleid: "IaC", propagate: true },
      ...["/sdn/zones/localnetwork", "/storage/vmdata", "/vms"].map((path) => ({
        path,
        type: "user" as const,
        ugid: "rectest@pve",
        roleid: `RT${path.replaceAll("/", "-")}`,
        propagate: true,
      })),
    ],
  },
};

/** The VMs of the recordings, as `qm config` showed them. */
const VMS: Readonly<Record<number, VmConfig>> = {
  100: {
    agent: "enabled=1,fstrim_cloned_disks=0,type=virtio",
    balloon: "0",
    bios: "ovmf",
    boot: "order=scsi0",
    ciuser: "admin",
    cores: "4",
    cpu: "x86-64-v2-AES",
    efidisk0: "vmdata:100/vm-100-disk-0.qcow2,efitype=4m,pre-enrolled-keys=0,size=528K",
    ide2: "vmdata:100/vm-100-cloudinit.qcow2,media=cdrom",
    ipconfig0: "gw=10.23.45.1,ip=10.23.45.31/24",
    kvm: "0",
    machine: "q35",
    memory: "24576",
    meta: "creation-qemu=10.0.2,ctime=1795387847",
    name: "k3s-s1",
    nameserver: "10.23.45.1",
    net0: "virtio=BC:24:11:C2:9A:40,bridge=vmbr0,firewall=0",
    numa: "0",
    onboot: "1",
    ostype: "l26",
    scsi0:
      "vmdata:100/vm-100-disk-1.qcow2,aio=io_uring,backup=1,cache=none,discard=on,format=qcow2,iothread=1,replicate=1,size=32G,ssd=1",
    scsihw: "virtio-scsi-single",
    searchdomain: "lab.example",
    serial0: "socket",
    smbios1: "uuid=92f5974d-5c14-4f10-9a0a-a9d71c0fda3b",
    sockets: "1",
    sshkeys: KEY,
    tags: "k3s;server",
    vga: "serial0",
    vmgenid: "7fe9127e-8c17-4763-8a5f-6af3454563a0",
  },
  131: {
    agent: "enabled=1,fstrim_cloned_disks=0,type=virtio",
    balloon: "0",
    boot: "order=scsi0;net0",
    ciuser: "admin",
    cores: "2",
    cpu: "max",
    ide2: "vmdata:131/vm-131-cloudinit.qcow2,media=cdrom",
    ipconfig0: "gw=10.23.45.1,ip=10.23.45.31/24",
    kvm: "0",
    memory: "1024",
    meta: "creation-qemu=10.0.2,ctime=1795386541",
    name: "k3s-s1",
    nameserver: "10.23.45.1",
    net0: "virtio=BC:24:11:C4:CC:54,bridge=vmbr0,firewall=0",
    numa: "0",
    onboot: "1",
    scsi0:
      "vmdata:131/vm-131-disk-0.qcow2,aio=io_uring,backup=1,cache=none,discard=on,format=qcow2,iothread=0,replicate=1,size=4G,ssd=1",
    scsihw: "virtio-scsi-single",
    serial0: "socket",
    smbios1: "uuid=5579eb53-2fe5-4b9a-9ff0-0b6f0938fa51",
    sockets: "1",
    sshkeys: KEY,
    tags: "k3s;server",
    vmgenid: "d96316dc-5760-43a1-8a11-bb17a4a14bb3",
  },
  9000: {
    boot: "order=scsi0;ide2;net0",
    ciuser: "debian",
    ide2: "vmdata:9000/vm-9000-cloudinit.qcow2,media=cdrom",
    ipconfig0: "ip=dhcp",
    kvm: "0",
    memory: "512",
    meta: "creation-qemu=10.0.2,ctime=1795385892",
    name: "tmpl",
    net0: "virtio=BC:24:11:00:2E:57,bridge=vmbr0",
    scsi0: "vmdata:9000/base-9000-disk-0.qcow2,size=1G",
    scsihw: "virtio-scsi-single",
    serial0: "socket",
    smbios1: "uuid=073ad268-13d5-44bf-81c3-06fc8a387983",
    sshkeys: KEY,
    template: "1",
    vga: "serial0",
    vmgenid: "e67fb5c9-ee25-4b77-b61c-f9d2ba69ebb3",
  },
  9001: {
    agent: "enabled=1",
    boot: "order=scsi0;ide2;net0",
    ciuser: "debian",
    cores: "2",
    cpu: "max",
    ide2: "vmdata:9001/vm-9001-cloudinit.qcow2,media=cdrom",
    ipconfig0: "ip=10.99.98.11/24,gw=10.99.98.1",
    kvm: "0",
    memory: "1024",
    meta: "creation-qemu=10.0.2,ctime=1795386541",
    name: "debian-tmpl",
    net0: "virtio=BC:24:11:54:34:6E,bridge=vmbr0",
    scsi0: "vmdata:9001/base-9001-disk-0.qcow2,size=2G",
    scsihw: "virtio-scsi-single",
    serial0: "socket",
    smbios1: "uuid=0b0b7ff1-4dc5-4b1f-8a7e-2e5b1c0f4a11",
    sshkeys: KEY,
    template: "1",
    vmgenid: "0f5bb9b0-5f2d-4f60-9b68-9a8a2b7d7c31",
  },
  9002: {
    agent: "enabled=1",
    bios: "ovmf",
    boot: "order=scsi0",
    cores: "2",
    cpu: "x86-64-v2-AES",
    efidisk0: "vmdata:9002/base-9002-disk-0.qcow2,efitype=4m,pre-enrolled-keys=0,size=528K",
    ide2: "vmdata:9002/vm-9002-cloudinit.qcow2,media=cdrom",
    kvm: "0",
    machine: "q35",
    memory: "2048",
    meta: "creation-qemu=10.0.2,ctime=1795387847",
    name: "alma9-k3-node-amd64-v1.28.5-v1",
    net0: "virtio=BC:24:11:F2:7C:B5,bridge=vmbr0",
    ostype: "l26",
    scsi0: "vmdata:9002/base-9002-disk-1.qcow2,discard=on,iothread=1,size=1G,ssd=1",
    scsihw: "virtio-scsi-single",
    serial0: "socket",
    smbios1: "uuid=abdb8b40-e79a-427f-b3c3-a1c8129865f7",
    tags: "alma9;k3s;template",
    template: "1",
    vga: "serial0",
    vmgenid: "c07d6ce9-d3ec-4df6-8779-6b9863057a81",
  },
};

const MIB = 1024 ** 2;
/** Sizes of the volumes, in bytes. */
const VOLUMES: Readonly<Record<string, number>> = {
  "vmdata:100/vm-100-disk-0.qcow2": 528 * 1024,
  "vmdata:100/vm-100-disk-1.qcow2": 32 * 1024 * MIB,
  "vmdata:100/vm-100-cloudinit.qcow2": 4 * MIB,
  "vmdata:131/vm-131-disk-0.qcow2": 4 * 1024 * MIB,
  "vmdata:131/vm-131-cloudinit.qcow2": 4 * MIB,
  "vmdata:9000/base-9000-disk-0.qcow2": 1024 * MIB,
  "vmdata:9000/vm-9000-cloudinit.qcow2": 4 * MIB,
  "vmdata:9001/base-9001-disk-0.qcow2": 2 * 1024 * MIB,
  "vmdata:9001/vm-9001-cloudinit.qcow2": 4 * MIB,
  "vmdata:9002/base-9002-disk-0.qcow2": 528 * 1024,
  "vmdata:9002/base-9002-disk-1.qcow2": 1024 * MIB,
  "vmdata:9002/vm-9002-cloudinit.qcow2": 4 * MIB,
};

const FILES: Readonly<Record<string, number>> = {
  "/var/lib/vz/template/iso/tiny.iso": 372_736,
  "/var/lib/vz/import/cloud.qcow2": 196_624,
  "/var/lib/vz/import/debian-lab.qcow2": 194_052_096,
};

/** A storage that is full with little. */
export const TINY: Storage = {
  id: "rectiny",
  type: "dir",
  path: "/srv/rec/full",
  content: ["images", "iso"],
  size: 12_582_912,
};

/** What a flow finds when it begins. */
export interface Beginning {
  readonly stopped: readonly number[];
  readonly running: readonly number[];
  /** Too new for the node's statistics to have seen them. */
  readonly unseen?: readonly number[];
  /** What rectest may, by path, where it is not what it may in most recordings. */
  readonly grants?: Readonly<Record<string, readonly Privilege[]>>;
  readonly storages?: readonly Storage[];
  /** More files of the node, with their sizes. */
  readonly files?: Readonly<Record<string, number>>;
}

/** What rectest could do while Packer built: with VM.GuestAgent.Audit and three on the storages, which it never used. */
export const PACKER_GRANTS: Readonly<Record<string, readonly Privilege[]>> = {
  "/vms": [
    ...VM_PRIVILEGES.filter((privilege) => privilege !== "VM.Clone"),
    "VM.Console",
    "VM.GuestAgent.Audit",
  ],
  "/storage/local": [
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
  ],
};

/**
 * A world equal to the one of the recordings when a flow began.
 * @param timeScale see `openWorld`; a flow that looks at a clone while it is made needs more than the others
 */
export async function recordedWorld(dir: string, beginning: Beginning, timeScale: number): Promise<World> {
  const { stopped, running, unseen = [], grants = {}, files = {}, storages = [] } = beginning;
  const plan = { ...PLAN, storages: [...PLAN.storages, ...storages] };
  const world = openWorld(dir, plan, { timeScale, interference: new Faults(dir, () => {}) });
  for (const [path, privileges] of Object.entries(grants)) grant(world, path, privileges);
  for (const vmid of [...stopped, ...running]) world.vms.create(vmid, VMS[vmid] ?? {});
  world.statistics.gather();
  for (const vmid of unseen) world.vms.create(vmid, VMS[vmid] ?? {});
  for (const vmid of running) {
    world.vms.update(vmid, { running: { pid: 4076, since: Date.now() - 900_000 } });
  }
  for (const [volid, size] of Object.entries(VOLUMES)) {
    const volume = world.storages.locate(volid);
    if (volume.vmid !== undefined && world.vms.get(volume.vmid) !== undefined)
      await createImage(volume, size);
  }
  for (const [path, size] of Object.entries({ ...FILES, ...files })) putFile(world, path, size);
  return world;
}

/** Let rectest have these privileges on a path and no others. */
export function grant({ access }: World, path: string, privileges: readonly Privilege[]): void {
  const roleid = `RT${path.replaceAll("/", "-")}`;
  const acl = access.acl.filter((entry) => entry.roleid !== roleid);
  const entry = { path, type: "user" as const, ugid: "rectest@pve", roleid, propagate: true };
  access.change({ roles: { ...access.roles, [roleid]: privileges }, acl: [...acl, entry] });
}

/** Put a file of a size on the node. */
function putFile({ files }: World, path: string, size: number): void {
  const file = files.toHost(path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, "");
  truncateSync(file, size);
}
