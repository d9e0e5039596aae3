import type { Caller } from "../calls.ts";
import type { AccessControl } from "../world/index.ts";

const TOKEN =
  /^PVEAPIToken=(?<user>[^\s:/!]+@[A-Za-z][A-Za-z0-9.\-_]+)!(?<token>[A-Za-z][A-Za-z0-9.\-_]+)[=:](?<secret>\S+)$/;

/** The request was refused before it was looked at. The message is the reason of the status line; there is no body. */
export class AuthenticationError extends Error {
  override readonly name = "AuthenticationError";
  readonly status: number;

  constructor(message: string, status = 401) {
    super(message);
    this.status = status;
  }
}

/**
 * Who sent a request. Only API tokens are known: the sandbox has no passwords.
 * @param authorization the header, "PVEAPIToken=USER@REALM!TOKEN=SECRET"
 * @param cookie the header of browser sessions, which are refused
 * @throws {AuthenticationError}
 */
export function authenticate(
  access: AccessControl,
  authorization: string | undefined,
  cookie: string | undefined,
): Caller {
  if (authorization === undefined || !authorization.startsWith("PVEAPIToken")) {
    throw new AuthenticationError(
      cookie?.includes("PVEAuthCookie=") ? "Authentication failed!" : "No ticket",
    );
  }
  const { user, token, secret } = TOKEN.exec(authorization)?.groups ?? {};
  if (user === undefined || token === undefined || secret === undefined) {
    throw new AuthenticationError("Authentication failed!");
  }
  if (!access.verifyToken(user, token, secret)) throw new AuthenticationError("Authentication failed!");
  return { user, token };
}
