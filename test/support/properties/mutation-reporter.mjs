/**
 * A reporter for `node --test`: says at the end how many of the mutations were noticed by the properties they break.
 * Node.js loads it before anything that understands TypeScript.
 * @param {AsyncIterable<import("node:test/reporters").TestEvent>} source
 * @returns {AsyncGenerator<string>}
 */
export default async function* mutationReporter(source) {
  let made = 0;
  let killed = 0;
  for await (const { type, data } of source) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (!/^Property \d+ notices: /.test(data.name)) continue;
    made += 1;
    if (type === "test:pass") killed += 1;
  }
  if (made > 0) yield `mutations killed ${killed} of ${made}\n`;
}
