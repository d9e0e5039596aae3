import { defineCommand, main } from "../lib/task/index.ts";

export const preflight = defineCommand({
  name: "preflight",
  summary: "Check everything that can be checked before anything is changed",
  readOnly: true,
  async run(context) {
    context.result("nothing");
  },
});

await main(import.meta.url, preflight);
