import * as v from "valibot";

/** Where cloud-init notes how its stages ended; a guest that has none had nothing go wrong. */
export const STATUS_FILE = "/run/cloud-init/status.json";

const stage = v.object({
  errors: v.optional(v.array(v.string()), []),
  recoverable_errors: v.optional(v.record(v.string(), v.array(v.string())), {}),
});
const schema = v.object({
  v1: v.object({
    datasource: v.optional(v.string(), "DataSourceNoCloud [seed=/dev/sr0]"),
    "init-local": v.optional(stage, {}),
    init: v.optional(stage, {}),
    "modules-config": v.optional(stage, {}),
    "modules-final": v.optional(stage, {}),
  }),
});

/**
 * What `cloud-init status` prints and ends with: 1 after an error, 2 after one that it recovered from.
 * @param file the text of STATUS_FILE
 * @see https://docs.cloud-init.io/en/latest/explanation/return_codes.html
 */
export function cloudInitStatus(
  file: string | undefined,
  long: boolean,
): { readonly text: string; readonly exitCode: 0 | 1 | 2 } {
  const { datasource, ...stages } = v.parse(schema, JSON.parse(file ?? '{"v1":{}}')).v1;
  const errors = Object.values(stages).flatMap((each) => each.errors);
  const recovered = Object.values(stages).flatMap((each) =>
    Object.entries(each.recoverable_errors).flatMap(([level, words]) =>
      words.map((word) => [level, word] as const),
    ),
  );
  const status = errors.length > 0 ? "error" : "done";
  const exitCode = errors.length > 0 ? 1 : recovered.length > 0 ? 2 : 0;
  if (!long) return { text: `status: ${status}\n`, exitCode };
  const lines = [
    `status: ${status}`,
    `extended_status: ${{ 0: "done", 1: "error - done", 2: "degraded done" }[exitCode]}`,
    "boot_status_code: enabled-by-generator",
    `detail: ${datasource}`,
    ...(errors.length === 0 ? ["errors: []"] : ["errors:", ...errors.map((each) => `\t- ${each}`)]),
    ...(recovered.length === 0
      ? ["recoverable_errors: {}"]
      : ["recoverable_errors:", ...recovered.flatMap(([level, word]) => [`${level}:`, `\t- ${word}`])]),
  ];
  return { text: `${lines.join("\n")}\n`, exitCode };
}
