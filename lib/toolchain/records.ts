import { randomUUID } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as v from "valibot";
import { tryLock } from "../lock.ts";

const recordsSchema = v.record(v.string(), v.string());

/** Read a small JSON file of texts by name; one that is missing or damaged holds nothing. */
export function readRecords(file: string): Readonly<Record<string, string>> {
  try {
    return v.parse(recordsSchema, JSON.parse(readFileSync(file, "utf8")));
  } catch {
    return {};
  }
}

/** Add a record. Others may add theirs at the same time, in this process or another: none is lost. */
export async function addRecord(file: string, name: string, text: string): Promise<void> {
  mkdirSync(dirname(file), { recursive: true });
  for (;;) {
    const lock = tryLock(`${file}.lock`);
    if (lock.held) {
      try {
        const draft = `${file}.${randomUUID()}`;
        writeFileSync(draft, `${JSON.stringify({ ...readRecords(file), [name]: text }, undefined, 2)}\n`);
        renameSync(draft, file);
        return;
      } finally {
        lock.release();
      }
    }
    await sleep(10);
  }
}
