import { ChildProcess } from "node:child_process";
import { appendFileSync } from "node:fs";

/** Loaded into a task: notes the words of every program that it starts, as they are, in the file $ARGV_LOG. */
const { spawn } = ChildProcess.prototype;
ChildProcess.prototype.spawn = function spawnAndNote(options) {
  appendFileSync(process.env.ARGV_LOG, `${JSON.stringify([options.file, ...options.args])}\n`);
  return spawn.call(this, options);
};
