import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ROOT } from "../../lib/task/index.ts";

/** Host keys and certificates are verified: what would not do so stands nowhere, neither in code nor in advice. */

const tracked = execFileSync("git", ["ls-files", "-z", "--", ":!test", ":!package-lock.json"], {
  cwd: ROOT,
  encoding: "utf8",
  maxBuffer: 64 * 1024 * 1024,
})
  .split("\0")
  .filter((path) => path !== "" && !/\.(?:png|gz|tgz|qcow2)$/.test(path));

interface Rule {
  readonly form: RegExp;
  /** Places where it is meant, each with why. */
  readonly meant: Readonly<Record<string, string>>;
}

const RULES: Readonly<Record<string, Rule>> = {
  "a host key that nobody has compared": {
    form: /StrictHostKeyChecking[ =]+["']?(?:no|off|accept-new)\b|HostKeyAlias|CheckHostIP[ =]no/i,
    meant: {},
  },
  "a certificate that is not verified": {
    form: /rejectUnauthorized|NODE_TLS_REJECT_UNAUTHORIZED|insecure_skip_tls_verify|--insecure\b|curl [^\n]*-k\b|--no-check-certificate|sslVerify|tls-verify=false/,
    meant: {
      "lib/proxmox/api/tls.ts":
        "PM_TLS_INSECURE; and the bare handshake that reads a certificate to compare it",
      "lib/proxmox/certificate.ts": "the handshake in which preflight reads a certificate to judge it",
      "lib/proxmox/api/failures.ts": "advice to see what answers instead of the API: nothing is sent",
      "lib/sandbox/operations/download.ts": "what a client asks of the simulated node",
      "packer/alma9-k3s-optimized/packer.pkr.hcl": "PM_TLS_INSECURE",
    },
  },
};

for (const [title, { form, meant }] of Object.entries(RULES)) {
  test(`${title} is accepted nowhere, and advised to nobody`, () => {
    const found = tracked.filter((path) => form.test(readFileSync(join(ROOT, path), "utf8")));
    assert.deepEqual(found.toSorted(), Object.keys(meant).toSorted());
  });
}

test("the rules find what they look for", () => {
  const [hosts, certificates] = Object.values(RULES);
  for (const text of ["-o StrictHostKeyChecking=no", "StrictHostKeyChecking accept-new"])
    assert.match(text, hosts?.form ?? /^$/);
  for (const text of ["curl -sSLk -k https://x", "{ rejectUnauthorized: false }"])
    assert.match(text, certificates?.form ?? /^$/);
  assert.doesNotMatch("StrictHostKeyChecking=yes", hosts?.form ?? /./);
});
