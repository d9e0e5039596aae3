import * as v from "valibot";

/** The API sends numbers as numbers or strings, and flags as 0, 1 or strings, as it happens. */
export const number = v.pipe(v.union([v.number(), v.string()]), v.transform(Number), v.number());
const flag = v.pipe(
  v.optional(v.union([v.number(), v.string(), v.boolean()]), 0),
  v.transform((value) => Number(value) === 1),
);

export const versionAnswer = v.object({ version: v.string(), release: v.string() });

/** One row of GET /nodes/N/qemu. */
export const vmsAnswer = v.array(
  v.object({
    vmid: number,
    name: v.optional(v.string()),
    status: v.string(),
    template: flag,
    tags: v.optional(v.string(), ""),
  }),
);

export const nodesAnswer = v.array(v.object({ node: v.string(), status: v.string() }));

/** Options as text: that is what they are in the node's file. */
export const configAnswer = v.pipe(
  v.record(v.string(), v.unknown()),
  v.transform((config) =>
    Object.fromEntries(Object.entries(config).map(([key, value]) => [key, String(value)])),
  ),
);

export const statusAnswer = v.object({
  status: v.string(),
  name: v.optional(v.string()),
  uptime: v.optional(number, 0),
  lock: v.optional(v.string()),
});

/** GET /nodes/N/tasks */
export const tasksAnswer = v.array(v.object({ upid: v.string() }));

export const taskStatusAnswer = v.object({ status: v.string(), exitstatus: v.optional(v.string()) });
export const taskLogAnswer = v.array(v.object({ n: number, t: v.string() }));
export const upidAnswer = v.pipe(v.string(), v.startsWith("UPID:"));

/** GET /nodes/N/storage/S/content */
export const contentAnswer = v.array(v.object({ volid: v.string() }));
