import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { type TaskError, UsageError } from "../errors.ts";

/** How the state of an environment lies there now. */
export type StateProtection = "none yet" | "readable" | "encrypted" | "elsewhere";

const EncryptedSchema = v.object({ encrypted_data: v.string() });

/**
 * OpenTofu's own encryption of state and plans, as the value of TF_ENCRYPTION. A state from before is still read; whatever
 * is written is encrypted.
 * @param passphrase 16 characters or more
 * @see https://opentofu.org/docs/language/state/encryption/
 */
export function encryptionConfig(passphrase: string): string {
  return [
    // Its name stands in the state beside the key's salt: docs/state.md has it, too.
    'key_provider "pbkdf2" "passphrase" {',
    `  passphrase = ${hclString(passphrase)}`,
    "}",
    'method "aes_gcm" "passphrase" {',
    "  keys = key_provider.pbkdf2.passphrase",
    "}",
    'method "unencrypted" "readable" {}',
    "state {",
    "  method = method.aes_gcm.passphrase",
    "  fallback {",
    "    method = method.unencrypted.readable",
    "  }",
    "}",
    "plan {",
    "  method   = method.aes_gcm.passphrase",
    "  enforced = true",
    "}",
    "",
  ].join("\n");
}

/** A literal: in HCL's quotes, templates would be evaluated, and JSON's \\b and \\f mean nothing. */
function hclString(text: string): string {
  return JSON.stringify(text.replace(/[$%](?=\{)/g, "$&$&"))
    .replace(/\\\\|\\[bf]/g, (found) => ({ "\\b": "\\u0008", "\\f": "\\u000c" })[found] ?? found)
    .replace(
      /[\u2028\u2029\u007f-\u009f]/g,
      (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
}

/**
 * Look at an environment's state without OpenTofu.
 * @param directory of the environment
 * @param stateDir where the state lies, when it is not there
 */
export async function stateProtection(directory: string, stateDir?: string): Promise<StateProtection> {
  if (stateDir === undefined && (await hasOtherBackend(directory))) return "elsewhere";
  const file = join(stateDir ?? directory, "terraform.tfstate");
  if (!existsSync(file)) return "none yet";
  const parsed = v.safeParse(
    v.pipe(v.string(), v.parseJson(), EncryptedSchema),
    await readFile(file, "utf8"),
  );
  return parsed.success ? "encrypted" : "readable";
}

async function hasOtherBackend(directory: string): Promise<boolean> {
  const files = (await readdir(directory)).filter((file) => file.endsWith(".tf"));
  const texts = await Promise.all(files.map(async (file) => await readFile(join(directory, file), "utf8")));
  return texts.some((text) => /^\s*(backend\s+"(?!local")|cloud\s*\{)/m.test(text));
}

/** @throws {UsageError} where the state is encrypted and nobody has said how */
export function demandPassphrase(protection: StateProtection, passphrase: string | undefined): void {
  if (protection === "encrypted" && passphrase === undefined) throw noPassphrase();
}

function noPassphrase(): UsageError {
  return new UsageError({
    what: "TF_STATE_PASSPHRASE is missing",
    why: "OpenTofu's state is encrypted, and without its passphrase nobody can read it",
    todo: [
      "Set it in .env to the passphrase that the state was encrypted with: TF_STATE_PASSPHRASE=…",
      "If it is lost, so is the state; docs/state.md says how to make a new one for the VMs that are there",
    ],
    left: ["Nothing was changed"],
  });
}

/** What OpenTofu says of a state that it cannot decrypt, in words that help; undefined for anything else. */
export function encryptionFailure(text: string): TaskError | undefined {
  if (/state file is encrypted and can not be read/.test(text)) return noPassphrase();
  if (!/decryption failed/.test(text)) return undefined;
  return new UsageError({
    what: "TF_STATE_PASSPHRASE is not the passphrase of this state",
    why: "OpenTofu cannot decrypt its state with it",
    todo: [
      "Set it in .env to the passphrase that the state was encrypted with",
      "docs/state.md says how the passphrase is changed, and what to do when it is lost",
    ],
    left: ["Nothing was changed"],
  });
}
