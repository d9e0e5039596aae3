import { readdirSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../lib/task/index.ts";

/** Prints the --help of every command as one JSON object: a process for all of them instead of one for each. */
const helps: Record<string, string> = {};
// Each command listens to the streams for as long as it runs.
for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(0);
const write = process.stdout.write.bind(process.stdout);
for (const file of readdirSync(join(ROOT, "tasks")).filter((each) => each.endsWith(".ts"))) {
  const path = join(ROOT, "tasks", file);
  let text = "";
  process.argv = [process.argv[0] ?? "node", path, "--help"];
  process.stdout.write = (chunk) => {
    text += String(chunk);
    return true;
  };
  // Another address for a module that some other command may have imported already.
  await import(`${path}?help`);
  // What lies beside the commands, for several of them, says nothing.
  if (text !== "") helps[file.replace(/\.ts$/, "")] = text;
}
process.stdout.write = write;
write(JSON.stringify(helps));
