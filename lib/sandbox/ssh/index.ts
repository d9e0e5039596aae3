export { keptKey, makeKey, type SshKey } from "./keys.ts";
export { createSshServer, type SshHost } from "./server.ts";
