import { type LintOptions, lint, type Remark } from "./remark.ts";

const LINE = /^(.+?):(\d+):(\d+): \[(error|warning)\] (.*?)(?: \(([\w-]+)\))?$/;

/**
 * What yamllint says about files, by the .yamllint.yaml of the folder it is started in.
 * @throws {TaskError} when it cannot do its work
 */
export async function yamllint(files: readonly string[], options: LintOptions): Promise<Remark[]> {
  // 2 is what it ends with for warnings alone, where it is strict.
  const { stdout } = await lint(options, ["--format", "parsable", "--", ...files], [0, 1, 2]);
  return stdout.split("\n").flatMap((text): Remark[] => {
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
}
