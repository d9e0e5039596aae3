import { readFileSync } from "node:fs";
import { RECORDINGS } from "./recordings.ts";

/** What a real node refused when one privilege of the OpenTofu flow was taken away. */
export interface Refusal {
  readonly privilege: string;
  /** Where it was taken away. */
  readonly path: string;
  /** "METHOD /path" of the first call that was refused. */
  readonly call: string;
  readonly reason: string;
}

interface Measured {
  readonly privilege: string;
  readonly path: string;
  readonly flows: Readonly<
    Record<string, { readonly apiFailures: readonly { readonly call?: string; readonly reason?: string }[] }>
  >;
}

/** The refusals of the flow that creates, plans and destroys; those that show in a call and not only in its effect. */
export function measuredRefusals(): Refusal[] {
  const { privileges } = JSON.parse(readFileSync(`${RECORDINGS}/privileges.json`, "utf8")) as {
    privileges: readonly Measured[];
  };
  return privileges.flatMap(({ privilege, path, flows }) => {
    const { call, reason } = flows["a+c"]?.apiFailures[0] ?? {};
    return call === undefined || reason === undefined ? [] : [{ privilege, path, call, reason }];
  });
}
