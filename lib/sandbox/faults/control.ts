import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { readIfThere, removeIfThere, writeJsonAtomic } from "../world/index.ts";
import { checkedRules, type FaultRule } from "./rules.ts";

/** A fault that has struck. */
export interface StruckFault {
  /** Its rule's place in the list, from 0. */
  readonly rule: number;
  readonly where: string;
  /** What it struck: the call, the command line, the task. */
  readonly what: string;
}

/** Sets the faults of a sandbox from outside, whether or not we started it. */
export interface FaultControl {
  /**
   * Let these rules take the place of all others; they count from the next call on.
   * @throws {Error} naming what is wrong with them
   */
  set(rules: readonly FaultRule[]): void;
  /** No more faults. */
  clear(): void;
  /** What has struck since the rules were set, in order: a rule that is not among them has tested nothing. */
  struck(): readonly StruckFault[];
}

const struckSchema = v.object({ rule: v.number(), where: v.string(), what: v.string() });

/** Where the rules lie; the sandbox looks at it before whatever may fail. */
export function rulesFile(dir: string): string {
  return join(dir, "state", "faults.json");
}

/** Where the sandbox notes what has struck, a line each. */
export function struckFile(dir: string): string {
  return join(dir, "state", "faults-struck.ndjson");
}

/** @param dir the sandbox's folder */
export function faultControl(dir: string): FaultControl {
  return {
    set: (rules) => {
      const checked = checkedRules(rules);
      if (!existsSync(dir)) mkdirSync(dir, { recursive: true, mode: 0o700 });
      removeIfThere(struckFile(dir));
      writeJsonAtomic(rulesFile(dir), checked);
    },
    clear: () => {
      removeIfThere(rulesFile(dir));
      removeIfThere(struckFile(dir));
    },
    struck: () =>
      (readIfThere(struckFile(dir)) ?? "")
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => v.parse(struckSchema, JSON.parse(line))),
  };
}
