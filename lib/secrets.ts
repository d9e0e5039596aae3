/** Values that must never be shown, in all forms, kept for the life of the process. */
const secrets = new Set<string>();
/** Matches any of them; made when it is first needed. */
let known: RegExp | undefined;

/** Shorter values would blank out ordinary words. */
const SHORTEST_SECRET = 6;

const BEGIN_KEY = /-----BEGIN [A-Z ]*PRIVATE KEY-----/;
const END_KEY = /-----END [A-Z ]*PRIVATE KEY-----/;
/** A line within a key: one word of base64, whatever stands around it, or a header. */
const WITHIN_KEY = /^[^\w+/=]*(?:[A-Za-z0-9+/=]*|(?:Proc-Type|DEK-Info): .*)[^\w+/=]*$/;
const SHOWN_KEY = "*** private key ***";

/**
 * What is a secret by its form alone, and what is shown in its place. Lengths are limited, so that a long line of a log takes
 * no longer than its length says.
 */
const FORMS: readonly (readonly [form: RegExp, shown: string])[] = [
  [/(PVEAPIToken=[^\s!]{1,200}![\w.-]{1,200}=)[\w-]+/g, "$1***"],
  [/(\bauthorization["']?\s*[:=]\s*\[?["']?(?:basic|bearer)\s+)[^\s"',\]]+/gi, "$1***"],
  // Also one that was cut off at either end.
  [
    /-----BEGIN [A-Z ]*PRIVATE KEY-----(?:[\s\S]*?-----END [A-Z ]*PRIVATE KEY-----|[\sA-Za-z0-9+/=\\]*)/g,
    SHOWN_KEY,
  ],
  [
    /(?<![A-Za-z0-9+/=])(?:[A-Za-z0-9+/=]{1,80}(?:\s|\\[nr]){1,4}){1,200}-----END [A-Z ]*PRIVATE KEY-----/g,
    SHOWN_KEY,
  ],
  // The same in base64, as a kubeconfig has it: "-----BEGIN " with PRIVATE, RSA, EC, OPENSSH or ENCRYPTED behind it.
  [/LS0tLS1CRUdJTi(?:BQUklWQVRF|BSU0Eg|BFQyBQ|BPUEVOU1NI|BFTkNSWVBU)[A-Za-z0-9+/=]*/g, SHOWN_KEY],
  [/(\bclient-key-data["']?\s*:\s*["']?)[A-Za-z0-9+/=]{8,}/g, "$1***"],
  // Credentials in an address.
  [/(\b[a-z][a-z0-9+.-]{0,20}:\/\/[^\s/:@"']{0,200}:)[^\s/@"']{1,500}(?=@)/gi, "$1***"],
];

/**
 * Remember a value so that `redact` removes it from whatever is shown from now on, however it was encoded.
 * @param value the secret; ignored when it is missing or shorter than six characters
 */
export function registerSecret(value: string | undefined): void {
  if (value === undefined || value.length < SHORTEST_SECRET) return;
  // Half a surrogate pair reaches any other program as U+FFFD.
  const text = Buffer.from(value).toString();
  // What is shown line by line must not show one of them.
  const lines = text.split(/\r?\n/).filter((line) => line.length >= SHORTEST_SECRET);
  for (const each of new Set([text, ...lines])) for (const form of formsOf(each)) secrets.add(form);
  known = undefined;
}

/** The forms in which a text comes back: from URLs, forms, JSON of Node.js and Go, HCL, shells, base64 and hexadecimal. */
function formsOf(text: string): string[] {
  const json = JSON.stringify(text).slice(1, -1);
  const inUrl = encodeURIComponent(text);
  const inForm = new URLSearchParams({ v: text }).toString().slice(2);
  const bytes = Buffer.from(text);
  const escapedAsGo = json.replace(
    /[<>&\u2028\u2029\u007f]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return [
    text,
    json,
    escapedAsGo,
    json.replace(/[$%](?=\{)/g, "$&$&"),
    text.replaceAll("'", `'\\''`),
    text.replaceAll("\\", "\\\\").replaceAll("'", "\\'"),
    ...[inUrl, inForm].flatMap((form) => [form, form.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase())]),
    bytes.toString("hex"),
    ...[0, 1, 2].flatMap((offset) => inBase64(bytes, offset)),
  ].filter((form) => form.length >= SHORTEST_SECRET);
}

/** What base64 of a longer text has of the bytes alone, when so many bytes modulo 3 stand before them: "user:secret". */
function inBase64(bytes: Buffer, offset: number): string[] {
  const before = Math.ceil((offset * 8) / 6);
  const whole = Math.floor(((offset + bytes.length) * 8) / 6);
  const all = Buffer.concat([Buffer.alloc(offset), bytes]);
  return (["base64", "base64url"] as const).map((encoding) => all.toString(encoding).slice(before, whole));
}

function knownSecrets(): RegExp {
  // The longest first: one may be part of another.
  const all = [...secrets].sort((a, b) => b.length - a.length);
  known ??= new RegExp(all.map((each) => each.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|"), "g");
  return known;
}

/**
 * Replace every registered secret and anything that has the form of one: a Proxmox API token, a private key, credentials
 * in a header or an address.
 * @param text any text on its way to a person, a log or an error
 */
export function redact(text: string): string {
  let clean = secrets.size === 0 ? text : text.replace(knownSecrets(), "***");
  for (const [form, shown] of FORMS) clean = clean.replace(form, shown);
  return clean;
}

/** `redact` for a text that comes line by line: a key goes over many lines, each of which looks harmless. */
export function lineRedactor(): (line: string) => string {
  let inKey = false;
  return (line) => {
    const begins = BEGIN_KEY.test(line);
    const ends = END_KEY.test(line);
    const hidden = inKey && !begins && (ends || WITHIN_KEY.test(line));
    inKey = (hidden || begins) && !ends;
    return hidden ? SHOWN_KEY : redact(line);
  };
}
