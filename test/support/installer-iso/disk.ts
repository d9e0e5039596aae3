import { closeSync, mkdirSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { run } from "../../../lib/process.ts";

const SECTOR = 512;
const ENTRY = 128;

/** A partition as the disk's GPT has it. */
export interface Partition {
  readonly number: number;
  /** By its type. */
  readonly kind: "biosboot" | "esp" | "linux";
  readonly start: number;
  readonly bytes: number;
}

const KINDS: Readonly<Record<string, Partition["kind"]>> = {
  "21686148-6449-6e6f-744e-656564454649": "biosboot",
  "c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "esp",
  "0fc63daf-8483-4772-8e79-3d69d8477de4": "linux",
};

/** The partitions of a raw disk, in the order of its table. */
export function partitionsOf(raw: string): Partition[] {
  const table = Buffer.alloc(128 * ENTRY);
  const file = openSync(raw, "r");
  try {
    readSync(file, table, 0, table.length, 2 * SECTOR);
  } finally {
    closeSync(file);
  }
  const partitions: Partition[] = [];
  for (let at = 0; at < table.length; at += ENTRY) {
    const type = guid(table.subarray(at, at + 16));
    if (/^[0-]+$/.test(type)) continue;
    const first = Number(table.readBigUInt64LE(at + 32));
    const last = Number(table.readBigUInt64LE(at + 40));
    partitions.push({
      number: at / ENTRY + 1,
      kind: KINDS[type] ?? unknown(type),
      start: first * SECTOR,
      bytes: (last - first + 1) * SECTOR,
    });
  }
  return partitions;
}

function unknown(type: string): never {
  throw new Error(`a partition has the type ${type}`);
}

/** A GUID as people write it: its first three fields are little-endian on the disk. */
function guid(bytes: Buffer): string {
  const hex = (from: number, to: number, reverse: boolean): string => {
    const part = Buffer.from(bytes.subarray(from, to));
    return (reverse ? part.reverse() : part).toString("hex");
  };
  return [hex(0, 4, true), hex(4, 6, true), hex(6, 8, true), hex(8, 10, false), hex(10, 16, false)].join("-");
}

/** The files of a finished image, in folders of this machine. */
export interface Unpacked {
  readonly partitions: readonly Partition[];
  readonly root: string;
  readonly boot: string;
  readonly esp: string;
}

/** Read an image's partitions with the tools of their file systems: nothing is mounted, nobody has to be root. */
export async function unpackImage(qcow2: string, work: string): Promise<Unpacked> {
  const raw = join(work, "disk.raw");
  await run("qemu-img", ["convert", "-O", "raw", qcow2, raw]);
  const partitions = partitionsOf(raw);
  const [, esp, boot, root] = partitions;
  if (esp?.kind !== "esp" || boot === undefined || root === undefined)
    throw new Error(`the partitions are ${JSON.stringify(partitions)}`);
  const unpacked = {
    partitions,
    root: join(work, "root"),
    boot: join(work, "boot"),
    esp: join(work, "esp"),
  };
  for (const folder of [unpacked.root, unpacked.boot, unpacked.esp]) mkdirSync(folder);
  await debugfs(raw, root, unpacked.root);
  await debugfs(raw, boot, unpacked.boot);
  await run("mcopy", ["-s", "-n", "-i", `${raw}@@${esp.start}`, "::/", unpacked.esp]);
  return unpacked;
}

async function debugfs(raw: string, { start }: Partition, folder: string): Promise<void> {
  const { stderr } = await run("debugfs", ["-R", `rdump / "${folder}"`, `${raw}?offset=${start}`]);
  const bad = stderr.split("\n").filter((line) => /bad magic|corrupt|while opening/i.test(line));
  if (bad.length > 0) throw new Error(bad.join("\n"));
}
