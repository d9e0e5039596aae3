import { join } from "node:path";
import type { Check, CheckControl, Finding } from "../../lib/check/index.ts";
import type { LintOptions, Remark } from "../../lib/lint/index.ts";
import type { ToolName } from "../../lib/toolchain/index.ts";
import { tool } from "./toolbox.ts";
import { finding, type Tree } from "./tree.ts";

/** The linters of shell scripts, YAML, OpenTofu and Dockerfiles. */
export function lintChecks({ root, files }: Tree): Check[] {
  return [
    {
      name: "shellcheck",
      title: "Shell scripts are clean",
      needs: ["shellcheck"],
      async run(control) {
        const { shellcheck, shellScripts } = await import("../../lib/lint/index.ts");
        const scripts = await shellScripts(root, files);
        return await remarks("shellcheck", root, control, [
          "Mend them; https://www.shellcheck.net/wiki/ explains each rule",
        ])((options) => shellcheck(scripts, options));
      },
    },
    {
      name: "yamllint",
      title: "YAML files are clean",
      needs: ["yamllint"],
      async run(control) {
        const { yamlFiles, yamllint } = await import("../../lib/lint/index.ts");
        return await remarks("yamllint", root, control, ["Mend them; the rules are those of .yamllint.yaml"])(
          (options) => yamllint(yamlFiles(files), options),
        );
      },
    },
    {
      name: "tflint",
      title: "OpenTofu modules are clean",
      needs: ["tflint"],
      async run(control) {
        const { tflint } = await import("../../lib/lint/index.ts");
        const folder = join(root, "terraform");
        return await remarks("tflint", folder, control, [
          "Mend them; the rules are those of terraform/.tflint.hcl",
        ])(async (options) =>
          (await tflint(join(folder, ".tflint.hcl"), options)).map((remark) => ({
            ...remark,
            file: `terraform/${remark.file}`,
          })),
        );
      },
    },
    {
      name: "hadolint",
      title: "Dockerfiles are clean",
      needs: ["hadolint", "a Dockerfile"],
      async skip() {
        const { dockerfiles } = await import("../../lib/lint/index.ts");
        return dockerfiles(files).length === 0 && "no Dockerfile";
      },
      async run(control) {
        const { dockerfiles, hadolint } = await import("../../lib/lint/index.ts");
        return await remarks("hadolint", root, control, [
          "Mend them; https://github.com/hadolint/hadolint/wiki explains each rule",
        ])((options) => hadolint(dockerfiles(files), options));
      },
    },
  ];
}

/** Run a linter, and make findings of what it says: errors fail, warnings warn. */
function remarks(
  name: ToolName,
  cwd: string,
  control: CheckControl,
  fix: readonly string[],
): (look: (options: LintOptions) => Promise<readonly Remark[]>) => Promise<Finding[]> {
  return async (look) => {
    const { formatRemark } = await import("../../lib/lint/index.ts");
    const { path: program } = await tool(name, control);
    const all = await look({ program, cwd, signal: control.signal });
    const of = (level: Remark["level"]): string[] =>
      all.filter((remark) => remark.level === level).map(formatRemark);
    return [...finding("failed", of("error"), fix), ...finding("warning", of("warning"), fix)];
  };
}
