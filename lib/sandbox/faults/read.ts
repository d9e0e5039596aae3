import { readFile } from "node:fs/promises";
import { messageOf, UsageError } from "../../errors.ts";
import { checkedRules, type FaultRule } from "./rules.ts";

/**
 * The rules in a file of JSON or YAML.
 * @param file "none" stands for no rules at all
 * @throws {UsageError} when it cannot be read, or a rule is wrong
 */
export async function readFaults(file: string): Promise<readonly FaultRule[]> {
  if (file === "none") return [];
  try {
    const { parse } = await import("yaml");
    return checkedRules(parse(await readFile(file, "utf8")));
  } catch (error) {
    throw new UsageError({
      what: `The faults in ${file} cannot be used`,
      why: messageOf(error),
      todo: ["docs/sandbox-faults.md describes the rules, with examples"],
    });
  }
}
