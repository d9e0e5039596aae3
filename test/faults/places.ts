import { MATRIX } from "./matrix/index.ts";
import type { Pair } from "./pair.ts";
import { TASKS, type TaskCase } from "./tasks.ts";
import { FaultWorld } from "./world.ts";

/** Where pairs are tried one after another, on a sandbox that they share; places are tried side by side. */
export type Place = TaskCase["place"];

export const PLACES: readonly Place[] = [...new Set(Object.values(TASKS).map(({ place }) => place))];

export function pairsOf(place: Place): Pair[] {
  return MATRIX.filter(({ task }) => TASKS[task].place === place);
}

export async function openPlace(place: Place): Promise<FaultWorld> {
  return await FaultWorld.start(place === "cluster");
}
