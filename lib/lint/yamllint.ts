import { TaskError } from "../errors.ts";
import { type LintOptions, lint, type Remark } from "./remark.ts";

const LINE = /^(.+?):(\d+):(\d+): \[(error|warning)\] (.*?)(?: \(([\w-]+)\))?$/;

/**
 * What yamllint says about files, by the .yamllint.yaml of the folder it is started in.
 * @throws {TaskError} when it cannot do its work
 */
export async function yamllint(files: readonly string[], options: LintOptions): Promise<Remark[]> {
  // 2 is what it ends with for warnings alone, where it is strict.
  const { exitCode, stdout, stderr } = await lint(
    options,
    ["--format", "parsable", "--", ...files],
    [0, 1, 2],
  );
  const remarks = stdout.split("\n").flatMap((text): Remark[] => {
    const [, file, line, column, level, message = "", rule = "syntax"] = LINE.exec(text) ?? [];
    if (file === undefined) return [];
    return [
      {
        file,
        line: Number(line),
        column: Number(column),
        level: level === "error" ? "error" : "warning",
        rule,
        message,
      },
    ];
  });
  // A crash of it ends with 1, too, as errors in files do.
  if (exitCode !== 0 && remarks.length === 0) {
    throw new TaskError({
      what: "yamllint found something wrong, and did not say where",
      why: (stderr.trim() || stdout.trim()).slice(0, 2000) || "it printed nothing",
      todo: ["See whether it runs at all:", `$ ${options.program} --version`],
    });
  }
  return remarks;
}
