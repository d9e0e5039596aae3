/**
 * Measures what the README promises: `npm run bench -- [demo] [startup] [upload] [preflight] [preflight-node]`, all of them without arguments.
 * Each figure is printed with the command it came from; nothing fails because a machine is slow.
 */
const BENCHES = ["startup", "upload", "preflight", "preflight-node", "demo"] as const;
type Bench = (typeof BENCHES)[number];

async function bench(name: Bench): Promise<string[]> {
  switch (name) {
    case "startup":
      return await (await import("./startup.ts")).startup();
    case "upload":
      return await (await import("./upload.ts")).upload();
    case "preflight":
      return await (await import("./preflight.ts")).preflight();
    case "preflight-node":
      return await (await import("./preflight-node.ts")).preflightNode();
    case "demo":
      return await (await import("./demo.ts")).demo();
  }
}

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !BENCHES.some((known) => known === name));
if (unknown.length > 0) {
  process.stderr.write(`There is no figure called ${unknown.join(", ")}; there are ${BENCHES.join(", ")}\n`);
  process.exit(2);
}
for (const name of BENCHES) {
  if (asked.length > 0 && !asked.includes(name)) continue;
  process.stdout.write(`${name}\n`);
  for (const line of await bench(name)) process.stdout.write(`  ${line}\n`);
}

export {};
