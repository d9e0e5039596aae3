import { chmod, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Check } from "../../lib/check/index.ts";

/** Secrets lie in .env: nobody but its owner reads it. */
export function dotenvCheck(root: string): Check {
  const file = join(root, ".env");
  const mode = async (): Promise<number | undefined> =>
    await stat(file).then(
      // What else may lie there, the check of the settings tells.
      (info) => (info.isFile() ? info.mode & 0o777 : undefined),
      () => undefined,
    );
  return {
    name: "dotenv",
    title: ".env is yours alone",
    needs: [],
    skip: async () => (await mode()) === undefined && "no .env",
    async run() {
      const bits = (await mode()) ?? 0;
      if ((bits & 0o077) === 0) return [];
      const shows = ["$ chmod 600 .env"];
      return [
        {
          state: "failed",
          evidence: `.env can be read by others (its mode is ${bits.toString(8)}), and there are secrets in it`,
          fix: ["Keep it to yourself; if others use this machine, replace the secrets, too:", ...shows],
          repair: {
            title: "Let nobody else read .env",
            shows,
            question: "Run it here?",
            async run() {
              await chmod(file, 0o600);
              return {};
            },
          },
        },
      ];
    },
  };
}
