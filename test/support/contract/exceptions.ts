import type { Exception } from "./replay.ts";

const HISTORY = "the recording's node had run other tasks before";
const NO_KVM =
  "the recording's machine had no KVM: QEMU says so in its own words, here a fault makes it fail";
const PROGRESS = "how many lines a copy's progress takes depends on the machine";

function each(seqs: readonly number[], exception: Exception): Readonly<Record<number, Exception>> {
  return Object.fromEntries(seqs.map((seq) => [seq, exception]));
}

/** What of a recorded flow is not replayed, or not compared word by word, by its sequence number. */
export const EXCEPTIONS: Readonly<Record<string, Readonly<Record<number, Exception>>>> = {
  errors: {
    30: { shape: "another role had been made by then" },
    105: { skip: "the words are those of Perl's JSON parser" },
    167: { shape: NO_KVM },
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
