import assert from "node:assert/strict";
import { test } from "node:test";
import { TaskError, UsageError } from "../../lib/errors.ts";
import { redact, registerSecret } from "../../lib/secrets.ts";
import { failureEvent, formatFailure, forSameRun } from "../../lib/task/failure.ts";

const plain = { color: false, verbose: false };

test("a failure says what, why, what to do and what was left, in this order", () => {
  const text = formatFailure(
    new TaskError({
      what: "No upload",
      why: "disk full",
      todo: ["$ df -h"],
      left: ["Rolled back: VM 9 removed"],
    }),
    plain,
  );
  assert.equal(
    text,
    [
      "✖ No upload",
      "",
      "  Why",
      "    disk full",
      "",
      "  What to do now",
      "    $ df -h",
      "",
      "  What was left or rolled back",
      "    Rolled back: VM 9 removed",
    ].join("\n"),
  );
});

test("a stack trace is shown with --verbose alone", () => {
  const error = new TaskError({ what: "Broken", cause: new Error("inner") });
  assert.doesNotMatch(formatFailure(error, plain), /at .*failure\.test/);
  assert.match(formatFailure(error, { color: false, verbose: true }), /inner[\s\S]*failure\.test/);
});

test("an unexpected error is called a bug", () => {
  assert.match(formatFailure(new TypeError("x is undefined"), plain), /bug in homelab[\s\S]*x is undefined/);
});

test("secrets are removed from what is shown, encoded ones too", () => {
  registerSecret("hunter2-hunter2");
  const shown = formatFailure(
    new TaskError({
      what: `token hunter2-hunter2`,
      why: `as base64 ${Buffer.from("hunter2-hunter2").toString("base64")}`,
    }),
    plain,
  );
  assert.doesNotMatch(shown, /hunter2|aHVudGVy/);
  assert.equal(
    redact("Authorization: PVEAPIToken=root@pam!ci=aaaaaaaa-bbbb-cccc"),
    "Authorization: PVEAPIToken=root@pam!ci=***",
  );
});

test("a short value is not taken for a secret", () => {
  registerSecret("pve");
  assert.equal(redact("node pve"), "node pve");
});

test("failureEvent carries the exit code", () => {
  assert.deepEqual(failureEvent(new UsageError({ what: "Bad" })), {
    ok: false,
    exitCode: 2,
    error: { what: "Bad", why: null, todo: [], left: [] },
  });
});

test("commands that an error advises are about the same node and environment as the run", () => {
  const error = new TaskError({
    what: "It failed",
    todo: [
      "Do this:",
      "$ npm run kubeconfig",
      "$ npm run tf-apply -- --env k3s-single",
      "  $ npm run deploy -- --image FILE.qcow2\nor",
      "$ npm run setup -- --for gitops",
      "$ kubectl get nodes",
    ],
  });
  const advised = forSameRun(error, { sandbox: true, env: "k3s-ha" });
  assert.ok(advised instanceof TaskError);
  assert.deepEqual(advised.todo, [
    "Do this:",
    "$ npm run kubeconfig -- --sandbox --env k3s-ha",
    "$ npm run tf-apply -- --sandbox --env k3s-single",
    "  $ npm run deploy -- --sandbox --env k3s-ha --image FILE.qcow2\nor",
    "$ npm run setup -- --for gitops",
    "$ kubectl get nodes",
  ]);
  const same = forSameRun(error, { sandbox: false, env: undefined });
  assert.ok(same instanceof TaskError);
  assert.deepEqual(same.todo, error.todo);
});

test("machines get the fields that a failure brings along, whatever is added to it later", () => {
  const error = new TaskError({ what: "2 of 9 checks failed", data: { checks: [1, 2] } }).withLeft([
    "a file",
  ]);
  assert.deepEqual(failureEvent(error), {
    checks: [1, 2],
    ok: false,
    exitCode: 1,
    error: { what: "2 of 9 checks failed", why: null, todo: [], left: ["a file"] },
  });
});
