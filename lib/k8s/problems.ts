import * as v from "valibot";

/** What Argo CD says of an Application. */
export const statusSchema = v.object({
  sync: v.optional(v.object({ status: v.optional(v.string()), revision: v.optional(v.string()) })),
  health: v.optional(v.object({ status: v.optional(v.string()) })),
  conditions: v.optional(v.array(v.object({ type: v.string(), message: v.string() })), []),
  operationState: v.optional(
    v.object({
      phase: v.optional(v.string()),
      message: v.optional(v.string(), ""),
      retryCount: v.optional(v.number(), 0),
      syncResult: v.optional(
        v.object({
          resources: v.optional(
            v.array(
              v.object({
                kind: v.string(),
                name: v.string(),
                status: v.optional(v.string()),
                message: v.optional(v.string(), ""),
              }),
            ),
            [],
          ),
        }),
      ),
    }),
  ),
});
export type ApplicationStatus = v.InferOutput<typeof statusSchema>;

/**
 * Why an Application cannot be compared or synced, in Argo CD's own words: conditions such as ComparisonError, SyncError
 * and InvalidSpecError (warnings are left out), else the sync that failed or is tried again.
 * @returns undefined when nothing is wrong
 */
export function problemOf(status: ApplicationStatus | undefined): string | undefined {
  const errors = (status?.conditions ?? [])
    .filter(({ type }) => type.endsWith("Error"))
    .map(({ type, message }) => `${type}: ${message}`);
  if (errors.length > 0) return withoutNoise(errors.join("\n"));
  const { phase = "", message = "", retryCount = 0, syncResult } = status?.operationState ?? {};
  const failed = phase === "Failed" || phase === "Error" || (phase === "Running" && retryCount > 0);
  // What is as Git has it now needs the sync no more that went wrong on the way there.
  if (!failed || status?.sync?.status === "Synced") return undefined;
  const objects = (syncResult?.resources ?? [])
    .filter((each) => each.status === "SyncFailed")
    .map(({ kind, name, message: why }) => `${kind} ${name}: ${why}`);
  return withoutNoise([message || `Sync: ${phase}`, ...objects].join("\n"));
}

/** What Argo CD tells kustomize and helm of the cluster is longer than all it says of what went wrong. */
function withoutNoise(words: string): string {
  return words
    .replace(/ --helm-(api-versions|kube-version) [^\s`]+/g, "")
    .replace(/ with env=\[[^\]]*\]/g, "");
}

/** A problem without the words about where in Argo CD it came up. */
export function inShort(problem: string): string {
  return problem
    .replace(/Failed to load target state: /g, "")
    .replace(/failed to generate manifest for source \d+ of \d+: /g, "")
    .replace(/rpc error: code = \w+ desc = /g, "")
    .replace(/Manifest generation error \(cached\): /g, "")
    .replaceAll("<path to cached source>/", "");
}
