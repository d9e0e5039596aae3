import { appendFileSync, statSync } from "node:fs";
import { messageOf } from "../../errors.ts";
import { type Interference, readIfThere, type TaskFault } from "../world/index.ts";
import { rulesFile, struckFile } from "./control.ts";
import { type CheckedRule, checkedRules, type EffectOf, type FaultPlace, fits } from "./rules.ts";

/** The places whose rules are counted. */
type Counted = Exclude<FaultPlace, "storage" | "node">;

/**
 * What the running sandbox asks before whatever may fail on purpose. The rules lie in a file of its folder, which may
 * change at any time; the counts are this process's own and begin anew with each change.
 */
export class Faults implements Interference {
  readonly #dir: string;
  readonly #log: (line: string) => void;
  #version = "";
  #rules: readonly CheckedRule[] = [];
  #seen: number[] = [];

  constructor(dir: string, log: (line: string) => void) {
    this.#dir = dir;
    this.#log = log;
  }

  /**
   * The effects that strike now; each rule that fits has counted one more.
   * @param what for the API "POST /nodes/pve/qemu", for a command its words
   */
  due<Place extends Counted>(where: Place, what: string): EffectOf<Place>[] {
    return this.#current().flatMap((rule, index) => {
      if (rule.where !== where || !fits(rule.match, what)) return [];
      const seen = (this.#seen[index] ?? 0) + 1;
      this.#seen[index] = seen;
      const { nth, count } = rule as Extract<CheckedRule, { where: Counted }>;
      if (seen < nth || (count !== "always" && seen >= nth + count)) return [];
      this.#note(index, where, what);
      return [rule.effect as EffectOf<Place>];
    });
  }

  task(what: string): readonly TaskFault[] {
    return this.due("task", what);
  }

  roomFor(path: string): number | undefined {
    return this.due("files", path)[0]?.full;
  }

  sizeOf(storage: string): number | undefined {
    return this.#storage(storage).find((effect) => "size" in effect)?.size;
  }

  isOffline(storage: string): boolean {
    return this.#storage(storage).some((effect) => "offline" in effect);
  }

  clockAhead(): number {
    return this.#node().find((effect) => "clock" in effect)?.clock ?? 0;
  }

  version(): string | undefined {
    return this.#node().find((effect) => "version" in effect)?.version;
  }

  cpuFlags(): string | undefined {
    return this.#node().find((effect) => "cpu" in effect)?.cpu;
  }

  #node(): EffectOf<"node">[] {
    return this.#current().flatMap((rule) => (rule.where === "node" ? [rule.effect] : []));
  }

  #storage(id: string): EffectOf<"storage">[] {
    return this.#current().flatMap((rule) =>
      rule.where === "storage" && fits(rule.match, id) ? [rule.effect] : [],
    );
  }

  #note(rule: number, where: string, what: string): void {
    this.#log(`fault ${rule + 1} (${where}) strikes: ${what}`);
    appendFileSync(struckFile(this.#dir), `${JSON.stringify({ rule, where, what })}\n`, { mode: 0o600 });
  }

  /** The rules of the file as it is now. */
  #current(): readonly CheckedRule[] {
    const file = rulesFile(this.#dir);
    const stats = statSync(file, { throwIfNoEntry: false, bigint: true });
    const version = stats === undefined ? "" : `${stats.ino} ${stats.mtimeNs} ${stats.size}`;
    if (version === this.#version) return this.#rules;
    this.#version = version;
    this.#seen = [];
    try {
      this.#rules = checkedRules(JSON.parse(readIfThere(file) ?? "[]"));
    } catch (error) {
      this.#rules = [];
      this.#log(`${file} is passed over: ${messageOf(error)}`);
    }
    return this.#rules;
  }
}
