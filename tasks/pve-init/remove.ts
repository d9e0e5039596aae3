import { saveToDotenv } from "../../lib/config/index.ts";
import { type AccessChange, accessState, carryOut, removalOf, tokenNameOf } from "../../lib/proxmox/index.ts";
import type { Step } from "../../lib/task/index.ts";
import { type InitRequest, shownChanges, targetOf } from "./request.ts";

/** Remove from the node what pve-init has made there, and nothing else. */
export function removeSteps(request: InitRequest): { readonly steps: Step[]; removed(): number } {
  const { shell, names, settings, dotenv, file } = request;
  const target = targetOf(request);
  let changes: readonly AccessChange[] = [];
  let removed = 0;
  const steps: Step[] = [
    {
      title: `Look what pve-init has made on ${target}`,
      async run({ signal, note }) {
        const removal = removalOf(await accessState(shell, names.user, signal), names);
        changes = removal.changes;
        for (const line of removal.kept) note(`Stays: ${line}`);
        if (changes.length > 0) note([`On ${target}:`, ...shownChanges(changes)].join("\n"));
      },
    },
    {
      title: "Remove it",
      skip: () => changes.length === 0 && `there is no user ${names.user}`,
      leaves: "Run this again to remove the rest",
      async run(control) {
        const question = `Remove ${names.user} with its tokens and roles from ${target}? No task works with them then`;
        if (!(await control.confirm(question))) return;
        await carryOut(shell, changes, control);
        removed = changes.length;
      },
    },
    {
      title: `Take the token out of ${file}`,
      skip: () =>
        (removed === 0 && "nothing was removed") ||
        (tokenNameOf(names.user, settings.PM_API_TOKEN_ID) === undefined && "it is not there"),
      async run() {
        await saveToDotenv(dotenv, { PM_API_TOKEN_ID: "", PM_API_TOKEN_SECRET: "" });
      },
    },
  ];
  return { steps, removed: () => removed };
}
