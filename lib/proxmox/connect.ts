import { readFile } from "node:fs/promises";
import { messageOf, TaskError } from "../errors.ts";
import { type ApiAccess, ProxmoxApi } from "./api/client.ts";
import { unreachable } from "./api/failures.ts";
import { shakeHands, shownCertificate, type TlsTrust } from "./api/tls.ts";
import { NodeShell, type SshTarget } from "./ssh.ts";

/** What the settings say of the node. */
export interface NodeSettings {
  readonly PM_API_URL: URL;
  readonly PM_API_TOKEN_ID: string;
  readonly PM_API_TOKEN_SECRET: string;
  readonly PM_TLS_CA: string | undefined;
  readonly PM_TLS_FINGERPRINT: string | undefined;
  readonly PM_TLS_INSECURE: boolean;
  /** Milliseconds. */
  readonly PM_API_TIMEOUT: number;
}

export interface SshSettings {
  readonly PM_API_URL: URL | undefined;
  readonly PM_SSH_HOST: string | undefined;
  readonly PM_SSH_USER: string;
  readonly PM_SSH_PORT: number;
  readonly PM_SSH_CONFIG: string | undefined;
}

/** A client of the API, from settings. */
export function apiFrom(settings: NodeSettings): ProxmoxApi {
  return new ProxmoxApi(accessFrom(settings));
}

/** How the API is reached, from settings. */
export function accessFrom(settings: NodeSettings): ApiAccess {
  return {
    url: settings.PM_API_URL,
    tokenId: settings.PM_API_TOKEN_ID,
    tokenSecret: settings.PM_API_TOKEN_SECRET,
    tls: {
      caFile: settings.PM_TLS_CA,
      fingerprint: settings.PM_TLS_FINGERPRINT,
      insecure: settings.PM_TLS_INSECURE,
    },
    timeoutMs: settings.PM_API_TIMEOUT,
  };
}

/**
 * PEM of what the node's certificate is verified against, besides the system's authorities: for Go programs, which
 * know no fingerprints but trust the very certificate that they are given.
 * @returns undefined where the system's authorities are enough, or nothing is to be verified
 * @throws {TaskError} when the node shows another certificate than the pinned one
 */
export async function trustedPem(
  settings: Omit<NodeSettings, "PM_API_TOKEN_ID" | "PM_API_TOKEN_SECRET">,
): Promise<string | undefined> {
  const { PM_TLS_CA: ca, PM_TLS_FINGERPRINT: fingerprint, PM_API_URL: url } = settings;
  if (settings.PM_TLS_INSECURE) return undefined;
  if (fingerprint === undefined) return ca === undefined ? undefined : await readFile(ca, "utf8");
  const shown = await shownCertificate(url, settings.PM_API_TIMEOUT).catch((error: unknown) => {
    throw new TaskError({
      what: `The Proxmox API at ${url.origin} cannot be reached`,
      why: messageOf(error),
      todo: ["Check PM_API_URL, and that the node is up and reachable from here"],
      cause: error,
    });
  });
  if (shown.fingerprint === fingerprint) return shown.pem;
  throw new TaskError({
    what: "The node shows another certificate than the pinned one",
    why: `PM_TLS_FINGERPRINT is ${fingerprint}, the certificate's is ${shown.fingerprint}`,
    todo: [
      "If the certificate was renewed, set PM_TLS_FINGERPRINT anew; if it was not, somebody is in between",
    ],
  });
}

/**
 * Whether a node's certificate is trusted. Nothing is asked of the node but to show it.
 * @param url of its API
 * @param timeoutMs milliseconds to wait for it
 * @throws {TaskError} when it cannot be reached, or is not trusted for another reason than that nobody knows who signed it
 */
export async function isTrusted(url: URL, trust: TlsTrust, timeoutMs: number): Promise<boolean> {
  try {
    await shakeHands(url, trust, timeoutMs);
    return true;
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (/^(SELF_SIGNED_CERT|DEPTH_ZERO_SELF_SIGNED|UNABLE_TO_)/.test(code)) return false;
    throw await unreachable(url, error);
  }
}

/** SSH to the node, from settings: without PM_SSH_HOST it is the API's host. */
export function shellFrom(settings: SshSettings): NodeShell {
  const target: SshTarget = {
    host: settings.PM_SSH_HOST ?? settings.PM_API_URL?.hostname.replace(/^\[|\]$/g, "") ?? "",
    user: settings.PM_SSH_USER,
    port: settings.PM_SSH_PORT,
    configFile: settings.PM_SSH_CONFIG,
  };
  return new NodeShell(target);
}
