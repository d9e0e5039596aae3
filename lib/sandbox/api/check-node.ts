import { failure } from "../calls.ts";
import type { World } from "../world/index.ts";

/**
 * A real node would pass the call on to the other one, which it cannot find.
 * @throws {ApiError}
 */
export function checkNode(world: World, node: string): void {
  if (node === world.node || node === "localhost") return;
  const why = `failed to get address info for: ${node}: Name or service not known`;
  throw failure(`hostname lookup '${node}' failed - ${why}`);
}
