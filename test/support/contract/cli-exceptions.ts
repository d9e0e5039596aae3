/** A command that is answered differently, with the reason. */
export interface CliException {
  /** Run, and known to answer differently; once it does not, the test fails. */
  readonly differs: string;
}

const NO_PACKAGES = "the recording's node was not installed from packages, a real one lists them";
const BY_HAND = "nothing of ours makes or frees a volume by itself: qm does";

export const CLI_EXCEPTIONS: Readonly<Record<string, CliException>> = {
  "pvesh#3": { differs: "the sandbox's pvesh prints JSON where a real one draws a table" },
  "pvesh#11": { differs: "nothing of ours lists a path of the API" },
  "pvesh#14": { differs: "/storage/local had been added to the access list by then" },
  "pvesm#18": { differs: BY_HAND },
  "pvesm#19": { differs: BY_HAND },
  "pvesm#20": { differs: BY_HAND },
  "pvesm#21": { differs: BY_HAND },
  "pveversion#2": { differs: NO_PACKAGES },
  "pveversion#3": { differs: NO_PACKAGES },
};
