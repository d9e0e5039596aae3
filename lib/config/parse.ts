import { X509Certificate } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { isIPv4, isIPv6 } from "node:net";
import { homedir } from "node:os";
import { resolve } from "node:path";
import { messageOf } from "../errors.ts";

/** Parsers of single settings. Each throws an Error whose message ends the sentence "NAME is not valid: …". */

/** The API's address, without a trailing slash: https://HOST:8006/api2/json. */
export function apiUrl(text: string): URL {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new Error("it is not a URL");
  }
  if (url.protocol !== "https:") throw new Error("it must begin with https://");
  if (url.username || url.password) throw new Error("credentials do not belong in it");
  if (url.search || url.hash) throw new Error("it must end after the path");
  const path = url.pathname.replace(/\/+$/, "");
  if (path !== "" && path !== "/api2/json") throw new Error("its path must be /api2/json");
  // URLs allow more in a host than any name has, and SSH goes there, too.
  const name = host(url.hostname.replace(/^\[|\]$/g, ""));
  if (isIPv4(name) && !text.includes(name)) throw new Error(NO_ADDRESS);
  url.pathname = "/api2/json";
  return url;
}

/** It goes into a header of HTTP, where nothing but ASCII means the same to everybody. */
export function tokenId(text: string): string {
  return matching(
    text,
    /^(?=[!-~]{1,200}$)[^:/!]+@[A-Za-z][\w.-]+![A-Za-z][\w.-]+$/,
    "it must have the form USER@REALM!TOKENID, in ASCII letters",
  );
}

export function tokenSecret(text: string): string {
  // The value itself must not appear in a message.
  return matching(
    text,
    /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i,
    "it must be a UUID, as Proxmox shows it once",
  );
}

/** A SHA-256 fingerprint as 32 upper-case hexadecimal pairs separated by colons. */
export function fingerprint(text: string): string {
  const pairs = text
    .toUpperCase()
    .replaceAll(":", "")
    .match(/^[0-9A-F]{64}$/)
    ? text
    : undefined;
  if (pairs === undefined) throw new Error("it must be a SHA-256 fingerprint of 32 hexadecimal pairs");
  return (pairs.toUpperCase().replaceAll(":", "").match(/../g) ?? []).join(":");
}

export function flag(text: string): boolean {
  if (/^(1|true|yes|on)$/i.test(text)) return true;
  if (/^(0|false|no|off)$/i.test(text)) return false;
  throw new Error("it must be true or false");
}

export function port(text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > 65_535) throw new Error("it must be a port from 1 to 65535");
  return number;
}

/** A number of seconds up to a day, in milliseconds. */
export function seconds(text: string): number {
  const number = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (number < 1 || number > 86_400) throw new Error("it must be a number of seconds from 1 to 86400");
  return number * 1000;
}

/** 10.023.45.10 is 10.19.45.10 to some programs, and 10.23.45.10 to others. */
const NO_ADDRESS = "an address has four numbers from 0 to 255, without zeros in front";

/** A DNS name or an IP address, nothing that ssh could take for an option or a user. */
export function host(text: string): string {
  if (/(^|\.)(\d+|0x[\da-f]*)\.?$/i.test(text) && !text.includes(":") && !isIPv4(text))
    throw new Error(NO_ADDRESS);
  if (text.includes(":") && !isIPv6(text)) throw new Error("it must be a host name or an IP address");
  return matching(text, /^(?![-.])[A-Za-z0-9.:_-]{1,253}$/, "it must be a host name or an IP address");
}

export function userName(text: string): string {
  return matching(text, /^[a-z_][a-z0-9_-]{0,31}$/, "it must be a Linux user name");
}

export function nodeName(text: string): string {
  return matching(text, /^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/, "it must be a Proxmox node's name");
}

export function storageName(text: string): string {
  return matching(text, /^[A-Za-z][A-Za-z0-9._-]{0,98}[A-Za-z0-9]$/, "it must be a Proxmox storage's name");
}

export function bridgeName(text: string): string {
  return matching(text, /^[A-Za-z][\w.-]{0,14}$/, "it must be a bridge's name");
}

/** The name of a folder in terraform/envs. */
export function envName(text: string): string {
  return matching(text, /^[a-z0-9][a-z0-9-]{0,39}$/, "it must be lower-case letters, digits and hyphens");
}

/** Control characters and halves of surrogate pairs: no tool of ours passes all of them on as they are. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\u2028\u2029]/u;

/** Linux takes no longer one. */
const LONGEST_PATH = 4095;

/** A path with ~ resolved, absolute. */
export function path(text: string): string {
  if (text === "" || text.length > LONGEST_PATH) throw new Error("it must be a path");
  if (UNPRINTABLE.test(text)) throw new Error("it must be a path without control characters");
  return resolve(text.replace(/^~(?=$|\/)/, homedir()));
}

/** A path of a file that is there. */
export function existingFile(text: string): string {
  const file = path(text);
  const found = statSync(file, { throwIfNoEntry: false });
  if (found === undefined) throw new Error(`there is no file ${file}`);
  if (found.isDirectory()) throw new Error(`${file} is a folder`);
  return file;
}

/** A path of a PEM file with at least one certificate. */
export function certificateFile(text: string): string {
  const file = existingFile(text);
  let pem: string;
  try {
    pem = readFileSync(file, "utf8");
  } catch (error) {
    throw new Error(`it cannot be read (${messageOf(error)})`);
  }
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (!blocks.some(isCertificate)) throw new Error("it holds no certificate");
  return file;
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false;
  }
}

/** What may stand in a URL, but for a quote; enough for everybody, and the same to every program. @see RFC 3986 */
const URL_CHARACTERS = String.raw`[\w.~:/?#@!$&()*+,;=%[\]-]{1,2000}`;
const WEB_ADDRESS = new RegExp(`^https?://(?=[A-Za-z0-9[])${URL_CHARACTERS}$`);
const GIT_ADDRESS = new RegExp(
  `^(https://(?=[A-Za-z0-9[])|ssh://(?=[A-Za-z0-9_[])|file:///|[A-Za-z0-9_][\\w.-]*@(?!-)[\\w.-]+:)${URL_CHARACTERS}$`,
);

/** An https address, or the path of a file that is there. */
export function fileOrUrl(text: string): string {
  if (/^[a-z]+:\/\//i.test(text)) {
    return matching(text, WEB_ADDRESS, "it must be an https address or the path of a file");
  }
  if (text.includes("{{"))
    throw new Error("it must be a path without {{, which Packer would take for its own");
  return existingFile(text);
}

/** "sha256:" and 64 hexadecimal digits; the prefix may be left out. */
export function sha256(text: string): string {
  const digits = text.toLowerCase().replace(/^sha256:/, "");
  return `sha256:${matching(digits, /^[0-9a-f]{64}$/, "it must be a sha256 of 64 hexadecimal digits")}`;
}

export function ipv4(text: string): string {
  if (!isIPv4(text)) throw new Error("it must be an IPv4 address");
  return text;
}

/** "dhcp", or an address with its prefix length. */
export function dhcpOrCidr(text: string): string {
  if (text === "dhcp") return text;
  const [address = "", prefix = ""] = text.split("/");
  const bits = /^\d{1,2}$/.test(prefix) ? Number(prefix) : 0;
  if (isIPv4(address) && bits >= 8 && bits <= 30) return text;
  throw new Error("it must be dhcp, or an address with its prefix length such as 10.23.45.99/24");
}

export function oneOf<const Value extends string>(...values: readonly Value[]): (text: string) => Value {
  return (text) => {
    const value = values.find((known) => known === text);
    if (value === undefined) throw new Error(`it must be ${values.join(" or ")}`);
    return value;
  };
}

/** What `git clone` takes: https, ssh or file URLs, and user@host:path. */
export function gitUrl(text: string): string {
  if (/^https:\/\/[^/]*@|^ssh:\/\/[^/@]*:[^/]*@/.test(text)) {
    throw new Error("credentials do not belong in it, it is written into Git (Argo CD: argocd repo add)");
  }
  // ssh would take a host that begins with a dash for an option.
  if (/^ssh:\/\/[^/]*@-/.test(text)) throw new Error("its host must not begin with a dash");
  return matching(text, GIT_ADDRESS, "it must be an https, ssh or file URL of a Git repository");
}

export function gitRevision(text: string): string {
  return matching(text, /^(?!-)[\w./-]{1,200}$/, "it must be a branch, a tag or a commit");
}

/** A passphrase; the environment of a child holds it, and no environment holds everything. */
export function passphrase(text: string): string {
  if (text.length < SHORTEST_PASSPHRASE)
    throw new Error(`it must have at least ${SHORTEST_PASSPHRASE} characters`);
  if (text.length > LONGEST_PASSPHRASE)
    throw new Error(`it must have at most ${LONGEST_PASSPHRASE} characters`);
  if (/[\0\p{Cs}]/u.test(text)) throw new Error("it must be text without NUL characters");
  return text;
}

const SHORTEST_PASSPHRASE = 16;
const LONGEST_PASSPHRASE = 1024;

function matching(text: string, form: RegExp, message: string): string {
  if (!form.test(text)) throw new Error(message);
  return text;
}
