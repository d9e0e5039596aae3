import { stat } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { type LintOptions, lint, parseReport, type Remark } from "./remark.ts";

/** @see https://github.com/koalaman/shellcheck/blob/master/shellcheck.1.md#formats */
const reportSchema = v.object({
  comments: v.array(
    v.object({
      file: v.string(),
      line: v.number(),
      column: v.number(),
      level: v.string(),
      code: v.number(),
      message: v.string(),
    }),
  ),
});

const BATCHES = 4;

/**
 * What shellcheck says about scripts, down to matters of style: it only ever is about something that can be mended.
 * @throws {TaskError} when it cannot read a script at all
 */
export async function shellcheck(files: readonly string[], options: LintOptions): Promise<Remark[]> {
  const flags = ["--format=json1", "--external-sources", "--source-path=SCRIPTDIR", "--"];
  const batches = await inBatches(files, options.cwd);
  const reports = await Promise.all(
    batches.map(async (batch) => {
      const result = await lint(options, [...flags, ...batch], [0, 1]);
      return parseReport(reportSchema, "shellcheck", result).comments;
    }),
  );
  return reports.flat().map(({ code, file, line, column, message }) => ({
    file,
    line,
    column,
    message,
    level: "error",
    rule: `SC${code}`,
  }));
}

/** It looks at one file after the other, and long ones take their time: files in parts of about the same size. */
async function inBatches(files: readonly string[], cwd: string): Promise<string[][]> {
  const sized = await Promise.all(
    files.map(async (file) => ({ file, size: (await stat(join(cwd, file))).size })),
  );
  const batches = Array.from({ length: BATCHES }, () => ({ files: [] as string[], size: 0 }));
  for (const { file, size } of sized.sort((a, b) => b.size - a.size)) {
    const smallest = batches.reduce((least, each) => (each.size < least.size ? each : least));
    smallest.files.push(file);
    smallest.size += size;
  }
  return batches.map((batch) => batch.files).filter((batch) => batch.length > 0);
}
