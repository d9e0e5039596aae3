import { X509Certificate } from "node:crypto";
import { readIfThere, type World } from "../../world/index.ts";
import { answer, type RouteTable } from "../route.ts";

/** What can be looked up about a node and never changes here: version, clock, name servers, certificates. */
export const nodeFactRoutes: RouteTable = {
  "GET /nodes/{node}/version": ({ world }) => answer(world.version()),

  "GET /nodes/{node}/time": ({ world }) => {
    const time = Math.floor(world.now() / 1000);
    return answer({ time, localtime: time, timezone: "UTC" });
  },

  "GET /nodes/{node}/dns": ({ world }) =>
    answer({ search: "home.arpa", ...(world.bridges[0] ? { dns1: world.bridges[0].gateway } : {}) }),

  "GET /nodes/{node}/certificates/info": ({ world }) =>
    answer(
      Object.entries(certificateFiles(world)).flatMap(([filename, file]) => {
        const pem = readIfThere(world.files.toHost(file));
        return pem === undefined ? [] : [{ filename, ...described(pem) }];
      }),
    ),
};

/** Fingerprint of the certificate that the API shows. */
export function certificateFingerprint(world: World): string {
  const pem = readIfThere(world.files.toHost(certificateFiles(world)["pve-ssl.pem"]));
  return pem === undefined ? "" : new X509Certificate(pem).fingerprint256;
}

function certificateFiles({ node }: World): Readonly<Record<"pve-root-ca.pem" | "pve-ssl.pem", string>> {
  return {
    "pve-root-ca.pem": "/etc/pve/pve-root-ca.pem",
    "pve-ssl.pem": `/etc/pve/nodes/${node}/pve-ssl.pem`,
  };
}

function described(pem: string): Record<string, unknown> {
  const certificate = new X509Certificate(pem);
  const { subject, issuer, validFrom, validTo, fingerprint256, publicKey, subjectAltName = "" } = certificate;
  return {
    subject: oneLine(subject),
    issuer: oneLine(issuer),
    fingerprint: fingerprint256,
    notbefore: Date.parse(validFrom) / 1000,
    notafter: Date.parse(validTo) / 1000,
    "public-key-type": "id-ecPublicKey",
    "public-key-bits": publicKey.asymmetricKeyDetails?.namedCurve === "prime256v1" ? 256 : 0,
    san: subjectAltName.split(", ").flatMap((name) => name.split(":").slice(1).join(":") || []),
    pem,
  };
}

/** "/O=…/CN=…", as OpenSSL writes names. */
function oneLine(name: string): string {
  return `/${name.split("\n").join("/")}`;
}
