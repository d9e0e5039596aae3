import type { Check, Finding } from "../../lib/check/index.ts";

/** Programs that no toolchain of ours gets, and what brings them. */
const SYSTEM = [
  { program: "ssh", about: "reaches the node and the VMs", package: "openssh-client" },
  { program: "git", about: "is asked whether Argo CD can read the repository", package: "git" },
  { program: "tar", about: "unpacks downloads", package: "tar" },
] as const;

/** What the machine has to have, and what is got when it is needed. */
export function toolsCheck(): Check {
  return {
    name: "tools",
    title: "Programs of the system exist",
    needs: SYSTEM.map(({ program }) => program),
    async run() {
      const { which } = await import("../../lib/which.ts");
      const { locateTool, TOOL_GROUPS } = await import("../../lib/toolchain/index.ts");
      const there = await Promise.all(
        SYSTEM.map(async ({ program }) => (await which(program)) !== undefined),
      );
      const missing = SYSTEM.filter((_each, index) => !there[index]);
      const got = await Promise.all(
        TOOL_GROUPS.deploy.map(async (name) => ((await locateTool(name)) === undefined ? [name] : [])),
      );
      return [
        ...missing.map(
          ({ program, about, package: name }): Finding => ({
            state: "failed",
            evidence: `${program} is not on PATH; it ${about}`,
            fix: [`$ sudo apt-get install ${name}`],
          }),
        ),
        ...absent(got.flat()),
      ];
    },
  };
}

function absent(names: readonly string[]): Finding[] {
  if (names.length === 0) return [];
  const evidence = `Not there yet, got when they are needed: ${names.join(", ")}`;
  return [{ state: "ok", evidence, fix: ["Get them now:", "$ npm run setup"] }];
}
