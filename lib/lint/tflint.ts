import * as v from "valibot";
import { type LintOptions, lint, parseReport, type Remark } from "./remark.ts";

const rangeSchema = v.object({
  filename: v.string(),
  start: v.object({ line: v.number(), column: v.number() }),
});

/** @see https://github.com/terraform-linters/tflint/blob/master/docs/user-guide/compatibility.md */
const reportSchema = v.object({
  issues: v.array(
    v.object({
      rule: v.object({ name: v.string(), severity: v.string() }),
      message: v.string(),
      range: rangeSchema,
    }),
  ),
  errors: v.array(v.object({ message: v.string(), range: v.optional(rangeSchema) })),
});

/**
 * What tflint says about every module below the folder it is started in, by the .tflint.hcl there.
 * @throws {TaskError} when it cannot do its work
 */
export async function tflint(config: string, options: LintOptions): Promise<Remark[]> {
  const args = ["--recursive", "--format=json", `--config=${config}`];
  const { issues, errors } = parseReport(reportSchema, "tflint", await lint(options, args, [0, 1, 2]));
  return [
    ...issues.map(({ rule, message, range }) => remark(rule.name, message, range)),
    ...errors.map(({ message, range }) => remark("error", message.trim(), range)),
  ];
}

function remark(rule: string, message: string, range: v.InferOutput<typeof rangeSchema> | undefined): Remark {
  return {
    file: range?.filename ?? ".",
    line: range?.start.line ?? 1,
    column: range?.start.column ?? 1,
    level: "error",
    rule,
    message,
  };
}
