import type { Exception } from "./replay.ts";

const HISTORY = "the recording's node had run other tasks before";
const NO_KVM = "the recording's machine had no KVM, and QEMU refused to start";
const ACCESS = "users and rights are changed through the API when pve-init comes";
const PROGRESS = "how many lines a copy's progress takes depends on the machine";

function each(seqs: readonly number[], exception: Exception): Readonly<Record<number, Exception>> {
  return Object.fromEntries(seqs.map((seq) => [seq, exception]));
}

/** What of a recorded flow is not replayed, or not compared word by word, by its sequence number. */
export const EXCEPTIONS: Readonly<Record<string, Readonly<Record<number, Exception>>>> = {
  errors: {
    7: { skip: "the sandbox has no passwords to log in with, only tokens" },
    30: { shape: "another role had been made by then" },
    ...each([31, 32], { skip: ACCESS }),
    105: { skip: "the words are those of Perl's JSON parser" },
    ...each([164, 165, 166, 167], { skip: NO_KVM }),
    209: { shape: PROGRESS },
  },
  reads: {
    15: { shape: "figures and names of the machine underneath" },
    61: { shape: "the name server is that of the recording's node" },
    78: { skip: "one of the users was made after this list" },
    ...each([86, 87, 88, 89, 95, 105], { skip: HISTORY }),
    ...each([92, 100, 102, 103], { shape: PROGRESS }),
  },
};
