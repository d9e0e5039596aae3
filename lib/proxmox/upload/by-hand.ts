import { cloudInitWords, createWords, importWords, type TemplatePlan } from "../qm.ts";
import { quoteWords } from "../quote.ts";
import type { SshTarget } from "../ssh.ts";
import { previewPlan, type TemplatePlace } from "./place.ts";

/** A folder that every node has. */
const BY_HAND_FOLDER = "/var/tmp";

/**
 * The commands with which a person does the same by hand.
 * @param request what is to become of which file on this machine
 */
export function manualSteps(
  request: TemplatePlace & { readonly file: string },
  plan: TemplatePlan = previewPlan(request),
  target: SshTarget = { host: "NODE", user: "root", port: 22 },
): string[] {
  const path = `${BY_HAND_FOLDER}/${request.name}.qcow2`;
  const byHand = { ...plan, imagePath: path, notes: `Golden image ${request.name}` };
  const { host, user, port, configFile } = target;
  const options = (flag: string): string[] => [
    ...(configFile === undefined ? [] : ["-F", configFile]),
    ...(port === 22 ? [] : [flag, String(port)]),
  ];
  const place = `${user}@${host.includes(":") ? `[${host}]` : host}:${path}`;
  return [
    "Or do it by hand, first here:",
    `$ ${quoteWords(["scp", ...options("-P"), request.file, place])}`,
    `$ ${quoteWords(["ssh", ...options("-p"), `${user}@${host}`])}`,
    "Then on the node:",
    ...[
      createWords(byHand),
      importWords(byHand),
      cloudInitWords(byHand),
      ["qm", "template", String(plan.vmid)],
      ["rm", path],
    ].map((words) => `$ ${quoteWords(words)}`),
  ];
}
