import fc from "fast-check";
import { SEED } from "../properties/seed.ts";

/** How many values each setting and argument is tried with. */
export const VALUES_EACH = 1000;

/** What means something to a shell, to ssh, in a URL, in a form, in HCL, in YAML, in .env, in a kickstart or on a terminal. */
const PIECES = [
  ..." '\"`$\\;&|<>(){}[]*?!#~^%=+,:@/.-_",
  ...[
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\0",
    "\u0007",
    "\u001b[2J",
    "\u0085",
    "\u2028",
    "\u2029",
    "\ufeff",
    "\u00a0",
  ],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: templates of shells and HCL
  ...["$(id)", "`id`", "${HOME}", "${var.node}", "%{ if true }", "%{endif}", "$${x}", "%%{x}", "$'\\n'"],
  ...["%h", "%%", "%p", "%n", "%00", "%2e%2e%2f", "%2F", "%0a", "%s", "%d"],
  ...["../", "/../..", "..", "./", "//", "~/", "~root"],
  ...["&a=1", "?a=1", "#a", ";a=1", "a=b", "\\u0041", "\\x41", "\\n", "\\\\", "\\'", '\\"'],
  ...[
    "- a",
    ": b",
    " #c",
    "!!int 1",
    "{{ .HTTPIP }}",
    "<enter>",
    "<wait>",
    "\n%post\nid\n%end\n",
    "\n--- \n",
  ],
  ...["&&id", "|id", "||id", ";id;", "&", ">x", "<x", "$IFS", "\nid\n", "'\"'\"'", "'\\''"],
  ...["é", "漢", "😀", "\u202e", "e\u0301", "\ud800", "Ａ", "İ", "ß"],
  ...["true", "null", "0", "1e9", "-1", "NaN", "__proto__", "constructor"],
] as const;

/** What a program takes for an option. */
const OPTIONS = [
  "-",
  "--",
  "-n",
  "-oProxyCommand=id",
  "-F/dev/null",
  "--help",
  "--version",
  "--upload-pack=id",
  "-var=node=x",
  "-destroy",
  "--kubeconfig=/etc/passwd",
  "-rf",
];

const piece = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...PIECES) },
  { weight: 1, arbitrary: fc.string({ unit: "binary", minLength: 1, maxLength: 2 }) },
  { weight: 1, arbitrary: fc.constantFrom(..."aZ09-_.") },
);
const nasty = fc.array(piece, { minLength: 1, maxLength: 7 }).map((pieces) => pieces.join(""));
/** What may well be taken: letters, digits and what stands in names, paths and addresses. */
const tame = fc.string({ unit: fc.constantFrom(..."abzAZ0189-_.:@/+"), minLength: 1, maxLength: 6 });

/**
 * Values that try to be more than a value: by themselves, and in, before and behind one that is meant.
 * @param example a value that is meant
 * @param salt tells the values of one setting from another's
 */
export function hostileValues(example: string, salt: number, count = VALUES_EACH): string[] {
  const at = fc.nat({ max: example.length });
  const inserted = (what: fc.Arbitrary<string>): fc.Arbitrary<string> =>
    fc.tuple(at, what).map(([position, text]) => example.slice(0, position) + text + example.slice(position));
  const replaced = fc.tuple(at, tame).map(([position, text]) => {
    const cut = Math.min(position, Math.max(0, example.length - text.length));
    return example.slice(0, cut) + text + example.slice(cut + text.length);
  });
  const long = fc
    .tuple(nasty, fc.constantFrom(100, 300, 3_000))
    .map(([text, length]) => text.repeat(Math.ceil(length / text.length)).slice(0, length));
  const values = fc.oneof(
    { weight: 20, arbitrary: nasty },
    { weight: 40, arbitrary: inserted(nasty) },
    { weight: 25, arbitrary: inserted(tame) },
    { weight: 15, arbitrary: replaced },
    {
      weight: 6,
      arbitrary: fc.tuple(fc.constantFrom(...OPTIONS), nasty).map(([option, text]) => option + text),
    },
    { weight: 3, arbitrary: fc.constantFrom(...OPTIONS) },
    { weight: 1, arbitrary: long },
  );
  const made = fc.sample(values, { numRuns: count - 3, seed: SEED + salt });
  // No line, path or packet holds as much.
  return [example, ...made, example.repeat(5_000), "' $(id) ".repeat(10_000)];
}
