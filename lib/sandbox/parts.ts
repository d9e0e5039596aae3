import { Guests } from "./guest/index.ts";
import { serveNode } from "./node/index.ts";
import type { Parts } from "./serve.ts";

/** What the sandbox's process runs beside the API. */
export function sandboxParts(): Parts {
  let guests: Guests | undefined;
  return {
    guests: async (context) => {
      guests = new Guests(context);
      await guests.endLeftovers();
      return guests;
    },
    node: async (context) => {
      if (guests === undefined) throw new Error("the guests come before the node");
      return await serveNode(context, guests);
    },
  };
}
