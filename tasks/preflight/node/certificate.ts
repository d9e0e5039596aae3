import { join } from "node:path";
import type { Finding, Repair } from "../../../lib/check/index.ts";
import { messageOf } from "../../../lib/errors.ts";
import { type NodeCertificate, nodeCertificate } from "../../../lib/proxmox/index.ts";
import { DAY_MS, dayOf, inDays, SOON_DAYS } from "./api.ts";
import { elsewhere, type NodeLook, seen } from "./look.ts";

const COMPARE = [
  "Compare the fingerprint with node → System → Certificates in the web interface, or on the node:",
  "$ pvenode cert info",
];

/** Whether the certificate is trusted, by what, and for how long. */
export async function certificateFindings(look: NodeLook, signal: AbortSignal): Promise<Finding[]> {
  const { PM_API_URL: url, PM_API_TIMEOUT: timeoutMs, ...settings } = look.settings;
  if (url === undefined) throw elsewhere("PM_API_URL is not set", "settings");
  const trust = {
    caFile: settings.PM_TLS_CA,
    fingerprint: settings.PM_TLS_FINGERPRINT,
    insecure: settings.PM_TLS_INSECURE,
  };
  let certificate: NodeCertificate;
  try {
    certificate = await nodeCertificate(url, trust, timeoutMs, signal);
  } catch (error) {
    signal.throwIfAborted();
    const { code = "", name } = error as NodeJS.ErrnoException;
    if (name !== "CaFileError") {
      const tells = code === "ENOTFOUND" || code === "EAI_AGAIN" ? "node/name" : "node/api";
      throw elsewhere("there is no connection to the API", tells);
    }
    const fix = ["Copy it from the node anew, and name it with PM_TLS_CA:", copyCa(look)];
    return [{ state: "failed", evidence: messageOf(error), fix }];
  }
  const { flaw } = certificate;
  if (flaw === undefined) return [sound(certificate)];
  return [
    {
      state: "failed",
      evidence: `${wordsFor(certificate, look)}\n${described(certificate)}`,
      fix: fixFor(certificate, look),
      ...(flaw === "unknown" && certificate.trust === "system" ? { repair: pin(certificate, look) } : {}),
    },
  ];
}

function sound(certificate: NodeCertificate): Finding {
  const { trust, validTo } = certificate;
  if (trust === "none") {
    return {
      state: "warning",
      evidence: `PM_TLS_INSECURE is set: the token goes to whoever answers in the node's place\n${described(certificate)}`,
      fix: [
        ...COMPARE,
        `Then pin it in .env instead of PM_TLS_INSECURE: PM_TLS_FINGERPRINT=${certificate.fingerprint}`,
      ],
    };
  }
  const by = { fingerprint: "PM_TLS_FINGERPRINT", ca: "PM_TLS_CA", system: "this machine's authorities" };
  const days = Math.floor((validTo.getTime() - Date.now()) / DAY_MS);
  const evidence = `${certificate.subject}, verified by ${by[trust]}, valid until ${dayOf(validTo)} (${inDays(days)})`;
  if (days >= SOON_DAYS) return seen(evidence);
  return { state: "warning", evidence, fix: renewal(certificate) };
}

function renewal({ trust }: NodeCertificate): string[] {
  return [
    "Renew it on the node:",
    "$ pvecm updatecerts --force && systemctl restart pveproxy",
    ...(trust === "fingerprint" ? ["Its fingerprint is another one then: set PM_TLS_FINGERPRINT anew"] : []),
  ];
}

function wordsFor(
  { flaw, trust, validFrom, validTo, names, words }: NodeCertificate,
  look: NodeLook,
): string {
  const host = look.settings.PM_API_URL?.hostname;
  switch (flaw) {
    case "unknown":
      return trust === "ca"
        ? `The CA in PM_TLS_CA (${look.settings.PM_TLS_CA}) has not signed the certificate`
        : "The certificate is signed by an authority that this machine does not know: a node has a CA of its own";
    case "other":
      return `The certificate is not the pinned one: PM_TLS_FINGERPRINT is ${look.settings.PM_TLS_FINGERPRINT}`;
    case "expired":
      return `The certificate has expired on ${dayOf(validTo)}`;
    case "early":
      return `The certificate is valid from ${dayOf(validFrom)} on only: one of the clocks is wrong`;
    case "names":
      return `The certificate is for other names than ${host}: ${names}`;
    default:
      return `The certificate is not accepted: ${words}`;
  }
}

function fixFor(certificate: NodeCertificate, look: NodeLook): string[] {
  const { flaw, fingerprint } = certificate;
  const pinned = `PM_TLS_FINGERPRINT=${fingerprint}`;
  switch (flaw) {
    case "expired":
      return renewal(certificate);
    case "early":
      return ["Set the clocks right: node/clock says how far they are apart"];
    case "other":
      return [
        ...COMPARE,
        `If they are the same, the certificate was renewed: ${pinned}`,
        "If not, somebody may be answering in the node's place: do not go on",
      ];
    case "names":
      return [
        "Use one of these names in PM_API_URL; or compare its fingerprint, and pin it:",
        ...COMPARE,
        `Then, in .env: ${pinned}`,
      ];
    default:
      return [
        "Copy the node's CA, and set PM_TLS_CA=~/pve-root-ca.pem in .env:",
        copyCa(look),
        `Or pin this very certificate. ${COMPARE[0]}`,
        ...COMPARE.slice(1),
        `Then, in .env: ${pinned}`,
      ];
  }
}

/** Over SSH, whose host key is verified. */
function copyCa({ shell }: NodeLook): string {
  return `$ ${shell.shown(["cat", "/etc/pve/pve-root-ca.pem"])} > ~/pve-root-ca.pem`;
}

function described({ subject, issuer, validTo, fingerprint }: NodeCertificate): string {
  return `Subject ${subject}; issuer ${issuer}; valid until ${dayOf(validTo)}; its SHA-256 fingerprint:\n${fingerprint}`;
}

/** Nobody but the person can tell that it is the node's. */
function pin(certificate: NodeCertificate, { root }: NodeLook): Repair {
  const { fingerprint } = certificate;
  return {
    title: "Pin the node's certificate in .env",
    shows: [described(certificate), ...COMPARE],
    question: "Is it the same on the node? PM_TLS_FINGERPRINT is then saved to .env",
    looked: true,
    async run() {
      const { saveToDotenv } = await import("../../../lib/config/index.ts");
      const values = { PM_TLS_FINGERPRINT: fingerprint };
      await saveToDotenv(join(root, ".env"), values);
      return values;
    },
  };
}
