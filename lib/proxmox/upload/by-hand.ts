import { cloudInitWords, createWords, importWords } from "../qm.ts";
import { quoteWords } from "../quote.ts";
import type { SshTarget } from "../ssh.ts";
import type { TemplatePlan } from "../vm-maker.ts";

/** A folder that every node has. */
const BY_HAND_FOLDER = "/var/tmp";

/**
 * The commands with which a person does the same by hand.
 * @param file the image on this machine
 */
export function manualSteps(file: string, plan: TemplatePlan, target: SshTarget): string[] {
  const path = `${BY_HAND_FOLDER}/${plan.name}.qcow2`;
  const byHand = { ...plan, imagePath: path, notes: `Golden image ${plan.name}` };
  const { host, user, port, configFile } = target;
  const options = (flag: string): string[] => [
    ...(configFile === undefined ? [] : ["-F", configFile]),
    ...(port === 22 ? [] : [flag, String(port)]),
  ];
  const place = `${user}@${host.includes(":") ? `[${host}]` : host}:${path}`;
  return [
    "Or do it by hand, first here:",
    `$ ${quoteWords(["scp", ...options("-P"), file, place])}`,
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
