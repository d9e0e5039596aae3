import { readFileSync } from "node:fs";
import * as v from "valibot";
import { SETTING_NAMES, specOf } from "../config/index.ts";
import { TaskError, UsageError } from "../errors.ts";
import { privilegeAdvice } from "../proxmox/index.ts";
import { encryptionFailure } from "./encryption.ts";

/** What tofu says about a problem, as its JSON output has it. */
export const DiagnosticSchema = v.object({
  severity: v.picklist(["error", "warning"]),
  summary: v.string(),
  detail: v.optional(v.string(), ""),
  address: v.optional(v.string()),
  range: v.optional(v.object({ filename: v.string(), start: v.object({ line: v.number() }) })),
});

export type Diagnostic = v.InferOutput<typeof DiagnosticSchema>;

/** What the messages of an error point to: what to do about it. */
const HINTS: readonly (readonly [pattern: RegExp, todo: string])[] = [
  [
    /x509: .*(unknown authority|not trusted|is not standards compliant)/,
    "Set PM_TLS_CA to a copy of the node's /etc/pve/pve-root-ca.pem, or PM_TLS_FINGERPRINT",
  ],
  [
    /x509: .*(doesn't contain any IP SANs|is valid for)/,
    "Use in PM_API_URL a name or address that the node's certificate carries",
  ],
  [
    /There is no template/,
    "Set IMAGE_VERSION to one of those, or make this one: npm run build-image, or npm run upload-image -- FILE.qcow2 NAME for a finished one",
  ],
  [
    /shows no template at all/,
    "Make one: npm run build-image, or npm run upload-image -- FILE.qcow2 NAME for a finished one. If it is there, npm run preflight says what the token lacks",
  ],
  [/hostname lookup '[^']*' failed/, "Check PM_NODE: the cluster has no node of that name"],
  [/\b401\b|authentication failure|no such token/i, "Check PM_API_TOKEN_ID and PM_API_TOKEN_SECRET"],
  [/x509: .*has expired/, "Renew the node's certificate, there: pvecm updatecerts --force"],
  [
    /connection refused|no such host|i\/o timeout|no route to host|network is unreachable|connection reset|\bEOF$|Reason: unexpected EOF/m,
    "Check PM_API_URL, and that the node is up and reachable from here; then run this again",
  ],
  [
    /\b50[234] response|invalid character '<'/,
    "A proxy in between may answer in the node's place: use the node's own address as PM_API_URL",
  ],
  [/\b59[56] response/, "Check PM_NODE, and that the node is online: the call was passed on to it in vain"],
  [
    /No space left on device|unable to activate storage|is not online/,
    "See to the storage, on the node (pvesm status), or choose another one with PM_STORAGE; then run this again",
  ],
  [
    /no such task/,
    "The node has lost a task of its own, because it was killed or the node has restarted: see what is there (qm list on the node)",
  ],
  [
    /can't lock file|VM is locked/,
    "Another task on the node holds the VM (a backup, a migration, a clone): wait until it is done and run this again",
  ],
  [
    /dependency lock|checksums? previously recorded|doesn't match any of the checksums/i,
    "The provider's lock file was written for another build of it: remove .terraform.lock.hcl in the environment's folder (it is not in Git) and run this again",
  ],
  [
    /Backend (configuration changed|initialization required)|Reconfigure/i,
    "The state was set up elsewhere: tofu init -migrate-state, or -reconfigure, in the environment's folder",
  ],
];

/** How a person gets a key pair. */
const KEY = [
  "See what keys there are, or make one:",
  "$ ls ~/.ssh/*.pub",
  "$ ssh-keygen -t ed25519",
] as const;

/** Where nothing better is known. */
const OTHERWISE = [
  "If that does not explain itself, the node's log of tasks may, or a log of OpenTofu: run this again with TOOL_LOG=debug",
];

/** Whoever wrote the configuration has to change it; nothing was started. */
const WRONG_CONFIGURATION =
  /^(Invalid value for variable|No value for required variable|Invalid value for input variable)$/;

/**
 * The error for what tofu reported.
 * @param what the task's own words for what failed: "k3s-single cannot be planned"
 * @param diagnostics everything it said; warnings are left out
 * @param otherwise why, when it said nothing: the last lines of its stderr
 * @param varFiles where variables have their values from, the weakest first
 */
export function tofuFailure(
  what: string,
  diagnostics: readonly Diagnostic[],
  otherwise: string,
  varFiles: readonly string[] = [],
): TaskError {
  const errors = diagnostics.filter((each) => each.severity === "error");
  const encrypted = encryptionFailure([...errors.map(explain), otherwise].join("\n"));
  if (encrypted !== undefined) return encrypted;
  const lock = errors.map(lockHolder).find((each) => each !== undefined);
  if (lock !== undefined) return lock;
  const why = errors.map(explain).join("\n\n") || otherwise.trim() || "it gave no reason";
  const todo = HINTS.flatMap(([pattern, line]) => (pattern.test(why) ? [line] : []));
  // The provider breaks long lines.
  todo.push(...privilegeAdvice(why.replace(/\s*\n\s*/g, " ")));
  const wrong = errors.length > 0 && errors.every(({ summary }) => WRONG_CONFIGURATION.test(summary));
  const missing = errors.flatMap(({ summary, detail }) =>
    summary === "No value for required variable" ? [/variable "([\w-]+)"/.exec(detail)?.[1] ?? ""] : [],
  );
  if (missing.includes("ssh_pubkey")) {
    todo.push(
      "Set SSH_PUBLIC_KEY_FILE in .env to your public key, such as ~/.ssh/id_ed25519.pub (ssh-keygen -t ed25519 makes one)",
    );
  }
  todo.push(...errors.flatMap((error) => whereToSet(error, varFiles)));
  const others = missing.filter((name) => name !== "ssh_pubkey");
  if (others.length > 0) {
    todo.push(
      `Set ${others.join(", ")} in terraform/globals.tfvars; globals.tfvars.example explains the values`,
    );
  }
  if (todo.length === 0) todo.push(...OTHERWISE);
  return new (wrong ? UsageError : TaskError)({ what, why, todo });
}

/** One diagnostic as a person reads it: its words, then where. */
export function explain({ summary, detail, address, range }: Diagnostic): string {
  const words = detail
    .replace(/\n*This was checked by the validation rule at [^\n]*/g, "")
    .replace(/\n*Use a -var or -var-file command line argument[^\n]*/g, "")
    .trim();
  // Rules of our own say it all themselves.
  const own =
    /^(Invalid value for variable|Resource (pre|post)condition failed|Check block assertion failed)$/;
  const text = words === "" ? summary : own.test(summary) ? words : `${summary}\n${words}`;
  const where = [address, range === undefined ? undefined : `${range.filename}:${range.start.line}`]
    .filter((each) => each !== undefined)
    .join(", ");
  return where === "" ? text : `${text}\n(${where})`;
}

/** Where the value stands that a rule has refused: some come from settings, the others from a file of variables. */
function whereToSet({ summary, detail }: Diagnostic, varFiles: readonly string[]): string[] {
  // Our rules begin with the variable's name; tofu's own frame names it as well.
  const name =
    summary === "Invalid value for variable"
      ? (/^var\.([\w-]+) is\b/m.exec(detail)?.[1] ?? /^([a-z_]+) /.exec(detail)?.[1])
      : undefined;
  if (name === undefined) return [];
  if (name === "ssh_pubkey") return ["Let SSH_PUBLIC_KEY_FILE in .env name the file of a public key", ...KEY];
  const setting = SETTING_NAMES.find((each) => specOf(each).tfVar === name);
  return [
    setting === undefined
      ? `Change it in ${giverOf(name, varFiles)}: ${name} = … (the .example beside it explains the values)`
      : `Change ${setting} in .env, for example ${setting}=${specOf(setting).example}`,
  ];
}

/** The file whose value of a variable counts, as it is called in the repository. */
function giverOf(name: string, varFiles: readonly string[]): string {
  const sets = new RegExp(`^\\s*${name}\\s*=`, "m");
  const file = varFiles.findLast((each) => sets.test(readFileSync(each, "utf8")));
  return /terraform\/(?:envs\/[^/]+\/)?[^/]+$/.exec(file ?? "")?.[0] ?? file ?? "terraform/globals.tfvars";
}

/** @see https://opentofu.org/docs/language/state/locking/ */
function lockHolder({ summary, detail }: Diagnostic): TaskError | undefined {
  if (!/acquiring the state lock/i.test(summary)) return undefined;
  const field = (name: string): string =>
    new RegExp(`^\\s*${name}:\\s*(.*)$`, "m").exec(detail)?.[1]?.trim() || "unknown";
  return new TaskError({
    what: "The state is locked: somebody else is planning or changing this environment",
    why: `${field("Who")} has held it since ${field("Created")} (${field("Operation")}, lock ${field("ID")}, ${field("Path")})`,
    todo: [
      "Wait until that is done and run this again",
      `Only if that process is gone for certain: tofu force-unlock ${field("ID")} in the environment's folder`,
    ],
  });
}
