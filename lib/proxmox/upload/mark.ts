import { randomBytes } from "node:crypto";
import { formatMark, parseMark, type RunMark, runMark } from "../../run-mark.ts";

/** What the notes of a VM begin with until it is a template that is done: whose it is. */
export interface UploadMark {
  readonly run: RunMark;
  /** Its run holds the lock of the name on the node, as one over SSH does; one by the API has none. */
  readonly locked: boolean;
}

/** A mark that no other VM has, made by this run. */
export function uploadMark(locked: boolean): string {
  const way = locked ? "" : " by the API";
  return `Being uploaded${way} (${randomBytes(8).toString("hex")}): ${formatMark(runMark())}`;
}

/** The mark in a VM's notes; undefined for notes of anything else. */
export function parseUploadMark(notes: string): UploadMark | undefined {
  const [, byApi] = /^Being uploaded( by the API)? \([0-9a-f]+\): /.exec(notes) ?? [];
  const run = notes.startsWith("Being uploaded") ? parseMark(notes) : undefined;
  return run && { run, locked: byApi === undefined };
}

/** Whether notes bear this very mark. */
export function bears(notes: string, mark: string): boolean {
  return notes === mark || notes.startsWith(`${mark}\n`);
}

/** Notes with a mark before them, for as long as there is something left to do. */
export function marked(mark: string, notes: string): string {
  return `${mark}\n\n${notes}`;
}
