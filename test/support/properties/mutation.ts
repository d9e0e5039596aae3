import assert from "node:assert/strict";
import { test } from "node:test";

/**
 * A property that cannot fail proves nothing: each is tried on broken copies of what it is about, too. The reporter of
 * the test commands (mutation-reporter.mjs) counts these tests by their titles.
 */

/** What is wrong with something, a line each; empty when the property holds. */
export type Violations = readonly string[];

/**
 * A test that passes when the property is violated.
 * @param mutation what was broken
 * @param check applies the property's own check to what is broken
 */
export function notices(
  property: number,
  mutation: string,
  check: () => Violations | Promise<Violations>,
): void {
  test(`Property ${property} notices: ${mutation}`, async () => {
    assert.notDeepEqual(await check(), [], "nobody noticed");
  });
}

/**
 * Change a text in one place.
 * @throws {AssertionError} when it does not stand there: a mutation that changes nothing would be survived by everything
 */
export function changed(text: string, from: string | RegExp, to: string): string {
  const result = text.replace(from, to);
  assert.notEqual(result, text, `${from} is not there to be changed`);
  return result;
}
