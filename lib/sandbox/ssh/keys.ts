import ssh2 from "ssh2";
import { readIfThere, writeFileAtomic } from "../world/index.ts";

/** An ed25519 key in OpenSSH's own formats. */
export interface SshKey {
  readonly private: string;
  /** "ssh-ed25519 AAAA… comment" */
  readonly public: string;
}

/**
 * The key in a file, made when it is missing; its public half lies beside it.
 * @param file the private key's path on the host
 */
export function keptKey(file: string, comment: string): SshKey {
  const before = readIfThere(file);
  const beforePublic = readIfThere(`${file}.pub`);
  if (before !== undefined && beforePublic !== undefined)
    return { private: before, public: beforePublic.trim() };
  const key = makeKey(comment);
  writeFileAtomic(file, `${key.private.trimEnd()}\n`);
  writeFileAtomic(`${file}.pub`, `${key.public}\n`, 0o644);
  return { private: key.private, public: key.public };
}

/** A new key. One in two hundred that ssh2 makes cannot be read, not even by itself: it is made again. */
export function makeKey(comment: string): SshKey {
  for (;;) {
    const { private: secret, public: open } = ssh2.utils.generateKeyPairSync("ed25519", { comment });
    if (!(ssh2.utils.parseKey(secret) instanceof Error)) return { private: secret, public: open };
  }
}
