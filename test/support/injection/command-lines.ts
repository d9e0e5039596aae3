import { join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Runs many command lines in one process, each as if it were started alone: stdin has a JSON list of tasks and their
 * words, stdout gets a JSON list of what each came to. Its argument is the working tree.
 */
const [, , root = "."] = process.argv;
let text = "";
for await (const chunk of process.stdin.setEncoding("utf8")) text += String(chunk);
const lines = JSON.parse(text) as { readonly task: string; readonly words: readonly string[] }[];

// Each command listens to the streams for as long as it runs.
for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(0);
process.setMaxListeners(0);
const write = process.stdout.write.bind(process.stdout);
const said = { stdout: "", stderr: "" };
for (const name of ["stdout", "stderr"] as const) {
  process[name].write = (chunk) => {
    said[name] += String(chunk);
    return true;
  };
}
const ended: { code: number; stdout: string; stderr: string }[] = [];
for (const [at, { task, words }] of lines.entries()) {
  const path = join(root, "tasks", `${task}.ts`);
  process.argv = [process.execPath, path, ...words];
  process.exitCode = 0;
  Object.assign(said, { stdout: "", stderr: "" });
  // Another address each time: the command runs anew, what it imports does not.
  await import(`${pathToFileURL(path).href}?${at}`);
  ended.push({ code: Number(process.exitCode), ...said });
}
process.exitCode = 0;
write(JSON.stringify(ended), () => process.exit());
