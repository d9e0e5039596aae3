import assert from "node:assert/strict";
import { test } from "node:test";
import { badPlaceholdersIn, placeholdersIn } from "../../lib/placeholders.ts";

/** What the property of the placeholders does not look at: who fills them in, and files with secrets. */

test("a placeholder is told with its line, its key and who fills it in", () => {
  const text = "spec:\n  repoURL: CHANGEME # argo/repository\n  path: CHANGEME # yours\n# TODO: more\n";
  assert.deepEqual(placeholdersIn("k8s/argo/app.yaml", text), [
    {
      file: "k8s/argo/app.yaml",
      line: 2,
      word: "CHANGEME",
      where: "value",
      key: "repoURL",
      filled: "by kustomize",
    },
    { file: "k8s/argo/app.yaml", line: 3, word: "CHANGEME", where: "value", key: "path", filled: "here" },
    { file: "k8s/argo/app.yaml", line: 4, word: "TODO", where: "comment", filled: "here" },
  ]);
});

for (const file of ["terraform/globals.tfvars.example", "packer/x/http/userdata/node.yaml"]) {
  test(`${file} is filled in where it is copied to`, () => {
    assert.deepEqual(
      placeholdersIn(file, 'ssh_pubkey = "CHANGEME"').map(({ filled }) => filled),
      ["in a copy"],
    );
  });
}

for (const file of [".env", "terraform/globals.tfvars", "terraform/envs/k3s-single/terraform.tfvars"]) {
  test(`${file} may hold secrets, whatever is in them, and none is ever told`, () => {
    const secrets = ["hunter2", "a<b>c", "my-todo-list", "xxTODOxx", "your-cat-is-fat!", "CHANGEME2"];
    const text = secrets.map((secret) => `API_TOKEN="${secret}"`).join("\n");
    const told = JSON.stringify([...badPlaceholdersIn(file, text), ...placeholdersIn(file, text)]);
    for (const secret of secrets.slice(0, 5)) assert.ok(!told.includes(secret), told);
    // Nobody's secret, but a placeholder written otherwise.
    assert.deepEqual(
      badPlaceholdersIn(file, text).map(({ line, words }) => [line, words]),
      [[6, "CHANGEME2"]],
    );
  });

  test(`${file} is told what is still to be filled in`, () => {
    assert.equal(placeholdersIn(file, "PM_API_TOKEN_SECRET=CHANGEME")[0]?.key, "PM_API_TOKEN_SECRET");
    assert.equal(badPlaceholdersIn(file, "PM_API_TOKEN_SECRET=<secret>")[0]?.words, "<secret>");
  });
}

test("a literal secret in a file for Git is told by its key alone", () => {
  const [found, ...more] = badPlaceholdersIn("k8s/values.yaml", "auth:\n  rootPassword: hunter2\n");
  assert.deepEqual(more, []);
  assert.equal(found?.line, 2);
  assert.ok(!JSON.stringify(found).includes("hunter2"));
});

for (const line of [
  "  existingSecret: mysql-password",
  "  automountServiceAccountToken: false",
  "  password: *shared",
  "  token = var.proxmox_token",
  `  api_token = "\${var.id}=\${var.secret}"`,
  'boot_command = ["<up><wait>e<leftCtrlOn>x", "<f10>"]',
  "  pattern: (?<name>[a-z]+)",
]) {
  test(`no placeholder and no secret: ${line.trim()}`, () => {
    assert.deepEqual(badPlaceholdersIn("k8s/values.yaml", line), []);
  });
}
