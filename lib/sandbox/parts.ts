import type { Parts } from "./serve.ts";

/** What the sandbox's process runs beside the API. */
export const parts: Parts = {};
