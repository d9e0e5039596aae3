import { X509Certificate } from "node:crypto";
import { readFile, rm, writeFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import { saveToDotenv } from "../../lib/config/index.ts";
import { messageOf, TaskError, UsageError } from "../../lib/errors.ts";
import { type ApiAccess, isTrusted } from "../../lib/proxmox/index.ts";
import type { Step, StepControl } from "../../lib/task/index.ts";
import type { InitRequest } from "./request.ts";

/** Where a node keeps the certificate of its cluster's own authority. */
const NODE_CA = "/etc/pve/pve-root-ca.pem";

/** How the API is reached, once that is known. */
export type ApiAddress = Pick<ApiAccess, "url" | "tls" | "timeoutMs">;

/**
 * Find out how the API's certificate is verified; where nothing says so, offer a copy of the node's own CA, which comes over
 * SSH, so that nothing needs to be insecure.
 * @param done told how the API is reached
 */
export function trustStep(
  request: InitRequest,
  skip: () => string | false,
  done: (address: ApiAddress) => void,
): Step {
  return {
    title: "Make sure that the API's certificate can be verified",
    skip,
    async run(control) {
      const { settings } = request;
      const url = apiUrl(request);
      const timeoutMs = settings.PM_API_TIMEOUT;
      const tls = {
        caFile: settings.PM_TLS_CA,
        fingerprint: settings.PM_TLS_FINGERPRINT,
        insecure: settings.PM_TLS_INSECURE,
      };
      const says = tls.caFile !== undefined || tls.fingerprint !== undefined || tls.insecure;
      if (await isTrusted(url, tls, timeoutMs)) return done({ url, tls, timeoutMs });
      if (says) throw notTrusted(url, `${tls.caFile} is not the CA that signed its certificate`);
      const caFile = await offerCa(request, url, control);
      done({ url, tls: { caFile }, timeoutMs });
    },
  };
}

/** The API's address: where it is not given, the host of SSH at Proxmox's port. */
export function apiUrl({ settings, shell }: InitRequest): URL {
  const { host } = shell.target;
  return settings.PM_API_URL ?? new URL(`https://${isIPv6(host) ? `[${host}]` : host}:8006/api2/json`);
}

async function offerCa(request: InitRequest, url: URL, control: StepControl): Promise<string> {
  const { shell, folder, dotenv, settings } = request;
  const { stdout: pem } = await shell.run(["cat", NODE_CA], { signal: control.signal });
  const { subject, fingerprint } = certificateIn(pem);
  const file = await freeFile(folder, pem);
  control.note(`The node's CA: ${subject}, SHA-256 ${fingerprint}`);
  const question = `Nothing says how to verify the API's certificate. Save the node's CA as ${file} and set PM_TLS_CA in .env?`;
  if (!(await control.confirm(question))) {
    throw new UsageError({
      what: "The API's certificate cannot be verified",
      why: "Without that the token would go to whoever answers in the node's place",
      todo: ["Set PM_TLS_CA or PM_TLS_FINGERPRINT in .env, then run this again"],
      left: ["Nothing was changed"],
    });
  }
  await writeFile(file, pem, { mode: 0o644 });
  if (!(await isTrusted(url, { caFile: file }, settings.PM_API_TIMEOUT))) {
    await rm(file);
    throw notTrusted(url, "The node's own CA has not signed its certificate, either");
  }
  await saveToDotenv(dotenv, { PM_TLS_CA: file });
  return file;
}

function certificateIn(pem: string): { readonly subject: string; readonly fingerprint: string } {
  try {
    const { subject, fingerprint256 } = new X509Certificate(pem);
    return { subject: subject.replaceAll("\n", ", "), fingerprint: fingerprint256 };
  } catch (error) {
    throw new TaskError({
      what: "The node's CA cannot be read",
      why: `${NODE_CA}: ${messageOf(error)}`,
      todo: ["Set PM_TLS_FINGERPRINT in .env to that of node → System → Certificates"],
      cause: error,
    });
  }
}

/** A name that is free, or whose file is the same: what lies there is not written over. */
async function freeFile(folder: string, pem: string): Promise<string> {
  for (let number = 1; ; number += 1) {
    const file = join(folder, `pve-root-ca${number === 1 ? "" : `-${number}`}.pem`);
    const there = await readFile(file, "utf8").catch(() => undefined);
    if (there === undefined || there === pem) return file;
  }
}

function notTrusted(url: URL, why: string): TaskError {
  return new TaskError({
    what: `The certificate of ${url.origin} is not trusted`,
    why,
    todo: [
      "Compare its fingerprint with node → System → Certificates and set PM_TLS_FINGERPRINT in .env instead of PM_TLS_CA:",
      `$ openssl s_client -connect ${url.host} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint -sha256`,
    ],
    left: ["Nothing was changed on the node"],
  });
}
