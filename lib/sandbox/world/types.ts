/** Options of a VM in the order in which they were set, as its configuration file has them: text, not yet typed. */
export type VmConfig = Readonly<Record<string, string>>;

/** A VM or template of the node. */
export interface Vm {
  readonly vmid: number;
  /** The current configuration. */
  readonly config: VmConfig;
  /** Changes that wait for the next start; null deletes an option. */
  readonly pending: Readonly<Record<string, string | null>>;
  /** Name of the template that it descends from, by one clone or several. */
  readonly templateName: string | undefined;
  /** Present while the VM runs. */
  readonly running: RunningVm | undefined;
  /** The keys that were sent to it since it was last switched on, by QEMU's names. */
  readonly typed: readonly string[];
}

/** What the node knows about a VM that runs. */
export interface RunningVm {
  readonly pid: number;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

/** A VM as its guest sees it. */
export interface GuestVm {
  readonly vmid: number;
  readonly name: string;
  /** The configuration with which it was started. */
  readonly config: VmConfig;
  /** Name of the template that it descends from; undefined for a VM made from scratch. */
  readonly templateName: string | undefined;
}

/** A worker of the node, past or running. */
export interface Task {
  readonly upid: string;
  /** For example "qmclone". */
  readonly type: string;
  /** The VMID or storage that it is about; may be empty. */
  readonly id: string;
  readonly user: string;
  readonly token: string | undefined;
  readonly pid: number;
  /** Start of the process in clock ticks since boot. */
  readonly pstart: number;
  /** Seconds since the epoch. */
  readonly starttime: number;
  readonly endtime: number | undefined;
  /** undefined while it runs; "OK" or the reason afterwards. */
  readonly exitstatus: string | undefined;
  readonly log: readonly string[];
}

export type ContentType = "backup" | "images" | "import" | "iso" | "rootdir" | "snippets" | "vztmpl";

/** A directory storage. */
export interface Storage {
  readonly id: string;
  readonly type: "dir";
  /** On the node, for example "/var/lib/vz". */
  readonly path: string;
  readonly content: readonly ContentType[];
  /** Bytes, where it is a file system of its own; without it there is as much room as on the host. */
  readonly size?: number;
}

/** A volume as listings show it. */
export interface Volume {
  /** For example "vmdata:100/vm-100-disk-0.qcow2". */
  readonly volid: string;
  readonly content: ContentType;
  readonly format: string;
  /** Bytes that a guest sees. */
  readonly size: number;
  /** Bytes that it takes on the storage. */
  readonly used: number;
  /** Seconds since the epoch. */
  readonly ctime: number;
  readonly vmid: number | undefined;
  /** Volume that a linked clone is based on, as `../ID/NAME`. */
  readonly parent: string | null;
}
