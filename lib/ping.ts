import { connect, isIPv4 } from "node:net";
import { run } from "./process.ts";

/** How long an address may take to answer, in milliseconds. */
const ANSWER_MS = 1000;
const SSH = 22;

/**
 * Which of these addresses answer within a second: an echo request or, where there is no `ping`, a connection. An address
 * that does not answer may still be taken (by a machine that is off, or behind a firewall); one that answers is.
 * @param addresses IPv4 addresses; anything else is left out
 */
export async function answering(addresses: readonly string[], signal?: AbortSignal): Promise<Set<string>> {
  const answers = await Promise.all(
    addresses.filter(isIPv4).map(async (address) => {
      const echoed = await echoes(address, signal);
      return (echoed ?? (await connects(address, signal))) ? [address] : [];
    }),
  );
  return new Set(answers.flat());
}

/** @returns undefined when there is no `ping` on this machine, or we may not use it */
async function echoes(address: string, signal?: AbortSignal): Promise<boolean | undefined> {
  const { exitCode, stderr } = await run("ping", ["-n", "-c", "1", "-W", "1", address], {
    allow: [0, 1, 2, 68, 126, 127],
    timeoutMs: 5000,
    ...(signal === undefined ? {} : { signal }),
  });
  if (exitCode === 0) return true;
  return exitCode !== 1 && /not found|permitted/i.test(stderr) ? undefined : false;
}

/** A machine that refuses a connection is there as much as one that takes it. */
async function connects(address: string, signal?: AbortSignal): Promise<boolean> {
  const limits = [AbortSignal.timeout(ANSWER_MS), ...(signal === undefined ? [] : [signal])];
  return await new Promise((resolve) => {
    const socket = connect({ host: address, port: SSH, signal: AbortSignal.any(limits) });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "ECONNREFUSED"));
  });
}
