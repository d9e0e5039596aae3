import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { lineRedactor, redact, registerSecret } from "../../lib/secrets.ts";

const SECRET = 'it\'s a "pass\\phrase" & <more> é%{x}';
registerSecret(SECRET);

/** The ways in which programs write a text into another one. */
const FORMS: Readonly<Record<string, (text: string) => string>> = {
  "as it is": (text) => text,
  "in JSON": (text) => JSON.stringify({ text }),
  "in JSON of Go": (text) =>
    JSON.stringify({ text }).replace(/[<>&]/g, (char) => `\\u00${char.charCodeAt(0).toString(16)}`),
  "in HCL": (text) => JSON.stringify(text.replace(/[$%](?=\{)/g, "$&$&")),
  "in a URL": encodeURIComponent,
  "in a URL with small letters": (text) =>
    encodeURIComponent(text).replace(/%../g, (code) => code.toLowerCase()),
  "in a form": (text) => new URLSearchParams({ text }).toString(),
  "as a shell's word": (text) => `'${text.replaceAll("'", `'\\''`)}'`,
  "in hexadecimal": (text) => Buffer.from(text).toString("hex"),
  "in base64": (text) => Buffer.from(text).toString("base64"),
  "behind a user in base64": (text) => Buffer.from(`user:${text}`).toString("base64"),
  "within base64": (text) => Buffer.from(`{"a":"${text}","b":1}`).toString("base64url"),
};

describe("a registered secret is removed", () => {
  for (const [title, form] of Object.entries(FORMS)) {
    test(title, () => {
      const shown = redact(`before ${form(SECRET)} behind`);
      assert.match(shown, /^before .*\*\*\*.* behind$/);
      for (const part of ["pass", "phrase", encodeURIComponent("é"), Buffer.from("phrase").toString("hex")])
        assert.ok(!shown.includes(part), shown);
    });
  }

  test("however much stands before it in base64", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 9 }), fc.string({ maxLength: 9 }), (before, behind) => {
        const shown = redact(Buffer.from(`${before}${SECRET}${behind}`).toString("base64"));
        const left = Buffer.from(shown.replaceAll("***", ""), "base64").toString("latin1");
        assert.ok(!/pass|phrase/.test(left), shown);
      }),
    );
  });

  test("line by line, too", () => {
    registerSecret("first line\nsecond line");
    assert.equal(redact("second line"), "***");
  });

  test("whole, where another one is part of it", () => {
    registerSecret("abcdefgh");
    registerSecret("abcdefgh-ijkl");
    assert.equal(redact("abcdefgh-ijkl"), "***");
  });
});

describe("what has the form of a secret is removed", () => {
  const PEM = `-----BEGIN EC PRIVATE KEY-----\n${"QUJD".repeat(16)}\nQUJDREVG\n-----END EC PRIVATE KEY-----`;
  for (const [title, text] of [
    ["a key", PEM],
    ["a key in JSON", JSON.stringify(PEM)],
    ["a key without its end", PEM.split("\n").slice(0, 3).join("\n")],
    ["a key without its beginning", PEM.split("\n").slice(1).join("\n")],
    ["a key in base64", Buffer.from(PEM).toString("base64")],
    ["a kubeconfig's key", `client-key-data: ${"QUJD".repeat(8)}`],
    ["credentials in a header", "Authorization: Basic QUJDQUJDQUJD"],
    ["credentials in an address", "https://ann:QUJDQUJD@git.example.org/a.git"],
    ["a token of Proxmox", "PVEAPIToken=homelab@pve!tasks=QUJDQUJD"],
  ] as const) {
    test(title, () => {
      const shown = redact(`before ${text} behind`);
      assert.ok(!/QUJD|LS0tLS1/.test(shown) && /\*\*\*/.test(shown), shown);
    });
  }

  test("a key that comes line by line, and nothing behind it", () => {
    const clean = lineRedactor();
    const lines = [
      ...PEM.split("\n"),
      "and then",
      "-----BEGIN RSA PRIVATE KEY-----",
      "QUJDQUJD",
      "a log goes on here",
      "QUJD",
    ];
    const shown = lines.map(clean);
    assert.ok(shown.slice(0, 4).every((line) => !line.includes("QUJD")));
    assert.equal(shown[4], "and then");
    assert.ok(!shown[6]?.includes("QUJD"));
    assert.equal(shown[7], "a log goes on here");
    assert.equal(shown[8], "QUJD");
  });

  test("an address, a certificate and a checksum stay", () => {
    const text = `https://10.23.45.10:8006/api2/json git@github.com:you/a.git ${"ab".repeat(32)} -----BEGIN CERTIFICATE-----\nQUJD\n-----END CERTIFICATE-----`;
    assert.equal(redact(text), text);
  });
});

test("long lines take no longer than their length says", () => {
  const texts = [
    "A".repeat(1e5),
    "a-".repeat(5e4),
    `${"=".repeat(5e4)}x`,
    "https://a:".repeat(1e4),
    `${"A".repeat(64)}\n`.repeat(1500),
  ];
  const started = process.cpuUsage();
  for (const text of texts) {
    const clean = lineRedactor();
    clean("-----BEGIN PRIVATE KEY-----");
    clean(text);
    redact(text);
  }
  const { user } = process.cpuUsage(started);
  // Where time grows with the square of the length, it is minutes.
  assert.ok(user < 10e6, `${user / 1e6} s`);
});
