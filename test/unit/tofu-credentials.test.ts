import assert from "node:assert/strict";
import { test } from "node:test";
import { redact } from "../../lib/secrets.ts";
import { tofuEnv } from "../../lib/tofu/child-environment.ts";

test("credentials of an http backend come through and are never shown; its address does not", () => {
  Object.assign(process.env, { TF_HTTP_PASSWORD: "backend-secret", TF_HTTP_ADDRESS: "https://elsewhere" });
  const env = tofuEnv({ cliConfigFile: "/mirror/tofurc" });
  assert.equal(env.TF_HTTP_PASSWORD, "backend-secret");
  assert.equal(env.TF_HTTP_ADDRESS, undefined);
  assert.equal(redact("said backend-secret"), "said ***");
});
