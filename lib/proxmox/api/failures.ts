import { type Failure, messageOf, TaskError } from "../../errors.ts";
import { privilegeAdvice } from "../privileges/index.ts";
import { CaFileError, FingerprintError, shownCertificate } from "./tls.ts";

/** The API refused a call, in its own words. */
export class ApiFailure extends TaskError {
  override readonly name = "ApiFailure";
  readonly status: number;

  constructor(status: number, failure: Failure) {
    super(failure);
    this.status = status;
  }

  protected override make(failure: Failure): ApiFailure {
    return new ApiFailure(this.status, failure);
  }
}

/** Where a node says more about a refusal than in its answer. */
const LOG = [
  "If that does not explain itself, the node's log may:",
  "$ journalctl -u pveproxy -u pvedaemon -n 50",
];

/**
 * What an answer that is no success means, and what to do about it.
 * @param reason from the status line: some answers carry it nowhere else
 */
export function refusal(call: string, status: number, reason: string, body: string): ApiFailure {
  const { message, errors } = parsed(body);
  const words = (message ?? reason).trim();
  const what = `Proxmox refused ${call}`;
  if (status === 401) {
    return new ApiFailure(status, {
      what: "Proxmox does not accept the API token",
      why: `401 ${reason}`,
      todo: [
        "Check PM_API_TOKEN_ID (USER@REALM!TOKENID) and PM_API_TOKEN_SECRET in .env",
        "The token may have expired or been removed: Datacenter → Permissions → API Tokens",
      ],
    });
  }
  if (status === 403) {
    return new ApiFailure(status, { what, why: words, todo: privilegeAdvice(`${call}: ${words}`) });
  }
  if (status === 400) {
    const lines = Object.entries(errors ?? {}).map(([name, text]) => `${name}: ${text.trim()}`);
    return new ApiFailure(status, { what, why: [words, ...lines].join("\n"), todo: LOG });
  }
  if (status === 501) {
    return new ApiFailure(status, {
      what,
      why: words,
      todo: ["This Proxmox VE is older than the tasks expect: 8 or 9 is needed"],
    });
  }
  if (status === 595 || status === 596) {
    return new ApiFailure(status, {
      what,
      why: words,
      todo: ["The node the call was passed on to does not answer: check PM_NODE and that the node is online"],
    });
  }
  if (/can't lock file|VM is locked/.test(words)) {
    return new ApiFailure(status, {
      what,
      why: words,
      todo: [
        "Another task on the node holds the VM (a backup, a migration, a clone): wait until it is done, then run this again",
      ],
    });
  }
  return new ApiFailure(status, { what, why: words, todo: LOG });
}

/** The node does not know its own task any more. */
export function taskGone(type: string, id: string, cause: ApiFailure): TaskError {
  return new TaskError({
    what: `The node knows no more of its task ${type} ${id}`,
    why: "It was killed, or the node has restarted: what the task had begun may be done in part",
    todo: ["Look at what is there, then run this again:", "$ qm list", "$ journalctl -u pvedaemon -n 50"],
    left: [`Whether the task ${type} ${id} was carried out is not known`],
    cause,
  });
}

/** Something else answered in the node's place. */
export function notTheApi(call: string, why: string): TaskError {
  return new TaskError({
    what: `${call}: what answered is not the Proxmox API`,
    why,
    todo: ["A proxy in between may answer in its place: use the node's own address as PM_API_URL"],
  });
}

/**
 * Why no answer came at all, and what to do about it.
 * @param change the call, when it may have been carried out all the same
 */
export async function unreachable(url: URL, error: unknown, change?: string): Promise<TaskError> {
  const { code = "" } = error as NodeJS.ErrnoException;
  const what = `The Proxmox API at ${url.origin} cannot be used`;
  if (error instanceof CaFileError) {
    return new TaskError({
      what,
      why: error.message,
      todo: ["Name the node's CA with PM_TLS_CA; it is /etc/pve/pve-root-ca.pem there"],
      cause: error,
    });
  }
  if (error instanceof FingerprintError) {
    return new TaskError({
      what,
      why: `Its certificate is not the pinned one; its fingerprint is ${error.seen}`,
      todo: [
        "If the node got a new certificate, compare this with node → System → Certificates, then set",
        `PM_TLS_FINGERPRINT=${error.seen}`,
        "If nobody renewed it, somebody may be answering in the node's place: do not go on",
      ],
      cause: error,
    });
  }
  if (code === "CERT_HAS_EXPIRED") {
    return new TaskError({
      what,
      why: "Its certificate has expired",
      todo: ["Renew it on the node:", "$ pvecm updatecerts --force"],
      cause: error,
    });
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return new TaskError({
      what,
      why: messageOf(error),
      todo: [
        "Use a name or address that is in the certificate as PM_API_URL, or pin it with PM_TLS_FINGERPRINT",
      ],
      cause: error,
    });
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO/.test(code)) {
    const seen = await shownCertificate(url).catch(() => undefined);
    return new TaskError({
      what,
      why: "Its certificate is signed by an authority this machine does not know (a node has a CA of its own)",
      todo: [
        `Fetch that CA and name it: PM_TLS_CA=~/pve-root-ca.pem`,
        `$ scp root@${url.hostname}:/etc/pve/pve-root-ca.pem ~/pve-root-ca.pem`,
        ...(seen
          ? [
              `Or compare the fingerprint with node → System → Certificates and pin it: PM_TLS_FINGERPRINT=${seen.fingerprint}`,
            ]
          : []),
      ],
      cause: error,
    });
  }
  const reasons: Record<string, string> = {
    ECONNREFUSED: "Nothing listens there (connection refused)",
    ENOTFOUND: "Its name is not known (DNS)",
    EAI_AGAIN: "Its name is not known (DNS)",
    ETIMEDOUT: "It does not answer",
    EHOSTUNREACH: "There is no route to it",
    ENETUNREACH: "There is no route to it",
    ECONNRESET: "It closed the connection",
    EPIPE: "It closed the connection",
    EPROTO: "It does not speak HTTPS",
  };
  return new TaskError({
    what,
    why: reasons[code] ?? messageOf(error),
    todo: [
      ...(change === undefined ? [] : ["Look at the node's list of tasks, then run this again"]),
      "Check PM_API_URL, and that this machine reaches it:",
      `$ curl -k ${url.origin}`,
      ...(code === "ETIMEDOUT" ? ["If it is only slow, wait longer: PM_API_TIMEOUT=120"] : []),
      "Without a node, try --sandbox",
    ],
    ...(change === undefined ? {} : { left: [`Whether it has carried out ${change} is not known`] }),
    cause: error,
  });
}

function parsed(body: string): { message?: string; errors?: Record<string, string> } {
  try {
    return JSON.parse(body) as { message?: string; errors?: Record<string, string> };
  } catch {
    return {};
  }
}
