import * as v from "valibot";
import { type LintOptions, lint, parseReport, type Remark } from "./remark.ts";

const reportSchema = v.array(
  v.object({
    file: v.string(),
    line: v.number(),
    column: v.number(),
    level: v.string(),
    code: v.string(),
    message: v.string(),
  }),
);

/** What hadolint says about Dockerfiles. @throws {TaskError} when it cannot do its work */
export async function hadolint(files: readonly string[], options: LintOptions): Promise<Remark[]> {
  const result = await lint(options, ["--format", "json", "--", ...files], [0, 1]);
  return parseReport(reportSchema, "hadolint", result).map(({ level, code, ...rest }) => ({
    ...rest,
    level: level === "error" || level === "warning" ? "error" : "warning",
    rule: code,
  }));
}
