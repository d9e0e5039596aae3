import { UsageError } from "../errors.ts";

/**
 * A path as the value of an option of the OpenSSH client, which splits, unescapes and expands what it is given.
 * @throws {UsageError} for what OpenSSH has no way to write: `${`, which begins the name of an environment variable
 * @see ssh_config(5), TOKENS and ENVIRONMENT VARIABLES
 */
export function sshPath(path: string): string {
  if (path.includes("${")) {
    throw new UsageError({
      what: `OpenSSH cannot be told of the path ${path}`,
      why: "It takes what follows ${ for the name of an environment variable, wherever it stands",
      todo: ["Use a folder without ${ in its name"],
    });
  }
  return `"${path.replace(/[\\"]/g, "\\$&").replaceAll("%", "%%")}"`;
}
