import type { EventLine } from "../support/working-copy.ts";

/** What dies with the task. */
export type Victim =
  /** Its process alone: what it has started lives on, and so does the node. */
  | "task"
  /** Everything that it has started, at the same moment: this machine loses its power. */
  | "machine"
  /** Its process alone, on a sandbox that it has started itself, which then ends in order. */
  | "task, own sandbox"
  /** Everything, the node and its guests included. */
  | "machine and node";

/** When a deployment is killed, and with what. */
export interface Kill {
  readonly number: number;
  /** The step's titles, the outermost first. */
  readonly step: string;
  /** Milliseconds after the step has begun; 0 is its boundary with the one before. */
  readonly afterMs: number;
  readonly victim: Victim;
}

/** A step without steps of its own, as an undisturbed run has taken it. */
export interface Leaf {
  readonly step: string;
  readonly ms: number;
}

const VICTIMS: readonly Victim[] = [
  ...(["task", "task", "task", "task", "task"] as const),
  ...(["machine", "machine", "machine"] as const),
  ...(["task, own sandbox", "machine and node"] as const),
];

/** Steps that nobody can be killed in: what skips at once gives no time for it. */
export function leavesOf(events: readonly EventLine[]): Leaf[] {
  const parents = new Set(events.flatMap(({ within }) => (Array.isArray(within) ? within.join(" › ") : [])));
  return events.flatMap((event) => {
    const step = pathOf(event);
    return event.event === "step" && event.state === "done" && !parents.has(step)
      ? [{ step, ms: Number(event.ms) }]
      : [];
  });
}

/** "VMs of k3s-single › Plan k3s-single" */
export function pathOf({ within, title }: EventLine): string {
  return [...(Array.isArray(within) ? within : []), title].join(" › ");
}

/**
 * Choose when to kill: at the boundaries of the steps, every one of them where there are kills enough, and at moments
 * within steps, each step being as likely as any other however short it is.
 * @param seed the same seed chooses the same steps, moments and victims
 */
export function planKills(leaves: readonly Leaf[], kills: number, seed: number): Kill[] {
  const random = generator(seed);
  const shuffled = <Item>(items: readonly Item[]): Item[] =>
    items
      .map((item) => ({ item, key: random() }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item);
  const boundaries = shuffled(leaves).slice(0, Math.ceil(kills / 2));
  const places = Array.from({ length: kills }, (_, at): Pick<Kill, "step" | "afterMs"> => {
    const boundary = boundaries[at];
    if (boundary !== undefined) return { step: boundary.step, afterMs: 0 };
    const { step, ms } = leaves[Math.floor(random() * leaves.length)] ?? { step: "", ms: 0 };
    return { step, afterMs: 1 + Math.floor(random() * ms) };
  });
  return shuffled(places).map((place, at) => {
    const victim = VICTIMS[Math.floor(random() * VICTIMS.length)] ?? "task";
    return { ...place, number: at + 1, victim: victim === "machine and node" ? mayLose(place.step) : victim };
  });
}

/** A node that dies while it clones keeps a VM that bears no mark, which nobody may remove: decision 13. */
function mayLose(step: string): Victim {
  return step.includes("Apply the plan") ? "machine" : "machine and node";
}

/** Numbers from 0 to 1 that follow from a seed. @see mulberry32 */
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
