import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { TaskError, UsageError } from "../../lib/errors.ts";
import { type Diagnostic, tofuFailure } from "../../lib/tofu/diagnostics.ts";
import { parseEvent } from "../../lib/tofu/events.ts";

function error(summary: string, detail = "", extra: Partial<Diagnostic> = {}): Diagnostic {
  return { severity: "error", summary, detail, ...extra };
}

test("a broken rule is told in its own words, without tofu's frame around it", () => {
  const failure = tofuFailure(
    "k3s-single cannot be planned",
    [
      error(
        "Invalid value for variable",
        "cores must be a whole number from 1 to 128.\n\nThis was checked by the validation rule at ../../modules/proxmox-vm/variables.tf:68,3-13.",
        { range: { filename: "main.tf", start: { line: 11 } } },
      ),
    ],
    "",
  );
  assert.ok(failure instanceof UsageError, "wrong configuration ends with exit code 2");
  assert.equal(failure.why, "cores must be a whole number from 1 to 128.\n(main.tf:11)");
});

test("a missing variable says where to set it", () => {
  const missing = (name: string): Diagnostic =>
    error(
      "No value for required variable",
      `The root module input variable "${name}" is not set, and has no default value. Use a -var or -var-file command line argument to provide a value for this variable.`,
    );
  const failure = tofuFailure("x", [missing("ssh_pubkey"), missing("pool")], "");
  assert.equal(failure.exitCode, 2);
  assert.doesNotMatch(failure.why ?? "", /-var-file/);
  assert.match(failure.todo[0] ?? "", /^Set SSH_PUBLIC_KEY_FILE in \.env/);
  assert.deepEqual(failure.todo.slice(1), [
    "Set pool in terraform/globals.tfvars; globals.tfvars.example explains the values",
  ]);
});

test("a refused value is to be changed in the file that gave it", () => {
  const root = mkdtempSync(join(tmpdir(), "homelab-diagnostics-"));
  try {
    const own = join(root, "terraform", "envs", "k3s-single", "terraform.tfvars");
    const shared = join(root, "terraform", "globals.tfvars");
    mkdirSync(dirname(own), { recursive: true });
    writeFileSync(shared, 'ip = "10.23.45.30"\ncores = 0\n');
    writeFileSync(own, 'name = "k3s-s1"\nip = "10.23.45.31"\n# cores = 4\n');
    const advised = (name: string, files: readonly string[]): string | undefined =>
      tofuFailure("x", [error("Invalid value for variable", `${name} must be another one.`)], "", files)
        .todo[0];
    const both = [shared, own];
    assert.match(
      advised("ip", both) ?? "",
      /^Change it in terraform\/envs\/k3s-single\/terraform\.tfvars: ip = /,
    );
    assert.match(advised("cores", both) ?? "", /^Change it in terraform\/globals\.tfvars: cores = /);
    assert.match(advised("ip", [shared]) ?? "", /^Change it in terraform\/globals\.tfvars: ip = /);
    assert.match(advised("ip", []) ?? "", /^Change it in terraform\/globals\.tfvars: ip = /);
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("warnings are no reason", () => {
  const failure = tofuFailure(
    "x",
    [{ severity: "warning", summary: "Old", detail: "" }, error("Broken", "deep", { address: "a.b" })],
    "",
  );
  assert.equal(failure.why, "Broken\ndeep\n(a.b)");
  assert.ok(!(failure instanceof UsageError));
});

test("without a diagnostic the last words on stderr are the reason", () => {
  assert.equal(tofuFailure("x", [], "  exec format error\n").why, "exec format error");
});

const HINTED: readonly (readonly [string, RegExp])[] = [
  ['Get "https://10.0.0.1:8006/": tls: x509: certificate signed by unknown authority', /PM_TLS_CA/],
  ["x509: cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs", /PM_API_URL/],
  ["received an HTTP 401 response - Reason: no such token", /PM_API_TOKEN_ID/],
  ["dial tcp 10.0.0.1:8006: connect: connection refused", /PM_API_URL/],
  ["can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout", /Another task on the node/],
  ['There is no template "x" on node "pve".', /IMAGE_VERSION.*build-image.*upload-image/],
  ['Node "pve" shows no template at all, so "x" cannot be cloned.', /build-image.*upload-image.*preflight/],
  ["the local package doesn't match any of the checksums previously recorded", /\.terraform\.lock\.hcl/],
];

/** Refusals, with the privilege that is missing; the provider breaks lines wherever it likes. */
const REFUSED: readonly (readonly [words: string, advice: RegExp])[] = [
  [
    "received an HTTP 403 response - Reason: Permission\n  check failed (/vms/100, VM.Config.CPU)",
    /^Give the token VM\.Config\.CPU on \/vms\/100 \(.*; it is for a VM's processors$/,
  ],
  [
    "error cloning VM: received an HTTP 403 response - Reason: Permission\ncheck failed\n(module.server.x, main.tf:1)",
    /^Give the token VM\.Allocate on \/vms \(/,
  ],
  ["received an HTTP 403 response - Reason: Permission check failed", /^The token may not do that/],
];

for (const [words, advice] of REFUSED) {
  test(`the privilege that is missing: ${JSON.stringify(words)}`, () => {
    const { todo } = tofuFailure("x", [error(words)], "");
    assert.match(todo[0] ?? "", advice);
    assert.match(todo.at(-1) ?? "", /^\$ npm run (pve-init|preflight)$/);
  });
}

for (const [words, hint] of HINTED) {
  test(`what to do about: ${words.slice(0, 60)}`, () => {
    const { todo } = tofuFailure("x", [error(words)], "");
    assert.equal(todo.length, 1, todo.join(" | "));
    assert.match(todo[0] ?? "", hint);
  });
}

test("a locked state names who holds it, since when and for what", () => {
  const failure = tofuFailure(
    "x",
    [
      error(
        "Error acquiring the state lock",
        [
          "Error message: resource temporarily unavailable",
          "Lock Info:",
          "  ID:        0c3f7a2e-9d8b-11ee-8c90-0242ac120002",
          "  Path:      terraform.tfstate",
          "  Operation: OperationTypeApply",
          "  Who:       ann@laptop",
          "  Version:   1.12.6",
          "  Created:   2026-01-02 03:04:05 +0000 UTC",
          "  Info:      ",
        ].join("\n"),
      ),
    ],
    "",
  );
  assert.match(failure.what, /The state is locked/);
  assert.match(failure.why ?? "", /^ann@laptop has held it since 2026-01-02 03:04:05 .*OperationTypeApply/);
  assert.ok(failure.todo.some((line) => line.includes("force-unlock 0c3f7a2e-9d8b-11ee-8c90-0242ac120002")));
});

test("streamed lines become events; what tells nothing is passed over", () => {
  const hook = { resource: { addr: "module.server.x.vm" }, action: "create", elapsed_seconds: 20 };
  assert.deepEqual(parseEvent(JSON.stringify({ type: "apply_progress", hook })), {
    kind: "resource",
    address: "module.server.x.vm",
    action: "create",
    state: "running",
    seconds: 20,
  });
  assert.equal(
    parseEvent(JSON.stringify({ type: "diagnostic", diagnostic: error("S") }))?.kind,
    "diagnostic",
  );
  for (const line of ["", "plain text", "{broken", '{"type":"version"}', '{"type":"apply_start"}']) {
    assert.equal(parseEvent(line), undefined);
  }
});

test("a failure is a TaskError, so that what was rolled back can be added", () => {
  const failure = tofuFailure("x", [error("S")], "").withLeft(["VM 100 is left"]);
  assert.ok(failure instanceof TaskError);
  assert.deepEqual(failure.left, ["VM 100 is left"]);
});
