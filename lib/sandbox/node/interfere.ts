import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type EffectOf, type Faults, Shaped } from "../faults/index.ts";
import { type Process, type Program, type Programs, write } from "../shell/index.ts";
import { createSshServer, makeKey, type SshHost } from "../ssh/index.ts";

/**
 * Let the node's commands fail as the rules say.
 * @param breakAll ends all SSH connections, as a network that goes away
 */
export function interceptPrograms(programs: Programs, faults: Faults, breakAll: () => void): Programs {
  return Object.fromEntries(
    Object.entries(programs).map(([name, program]) => [name, intercepted(name, program, faults, breakAll)]),
  );
}

function intercepted(name: string, program: Program, faults: Faults, breakAll: () => void): Program {
  return async (process) => {
    const effects = faults.due("command", [name, ...process.args].join(" "));
    for (const effect of effects) {
      if ("delay" in effect) await sleep(effect.delay);
      else if ("hang" in effect) return await untilLeft(process);
      else if ("break" in effect) breakAll();
      else if (effect.when === "before") return await say(process, effect);
    }
    const code = await program(process);
    const last = effects.find((effect) => "exit" in effect);
    return last === undefined ? code : await say(process, last);
  };
}

async function say(
  { stdout, stderr }: Process,
  effect: Extract<EffectOf<"command">, { exit: number }>,
): Promise<number> {
  await write(stdout, effect.stdout);
  await write(stderr, effect.stderr);
  return effect.exit;
}

/** A command that hangs ends with its client. */
async function untilLeft({ stdout }: Process): Promise<number> {
  if (!stdout.destroyed) await new Promise((resolve) => stdout.once("close", resolve));
  return 255;
}

/** Takes the node's connections in, each as good or bad as the rules say. */
export function acceptor(host: SshHost, faults: Faults): (socket: Socket) => void {
  const usual = createSshServer(host);
  return (socket) => {
    const effects = faults.due("ssh", "connection");
    if (effects.length === 0) return usual.injectSocket(socket);
    if (effects.some((effect) => "refuse" in effect)) return void socket.resetAndDestroy();
    const shape = {
      delay: sum(effects.map((effect) => ("delay" in effect ? effect.delay : 0))),
      rate: Math.min(...effects.map((effect) => ("rate" in effect ? effect.rate : Number.POSITIVE_INFINITY))),
      drop: Math.min(...effects.map((effect) => ("drop" in effect ? effect.drop : Number.POSITIVE_INFINITY))),
    };
    const bad: SshHost = {
      ...host,
      ...(effects.some((effect) => "hostKey" in effect) ? { hostKey: makeKey("stranger").private } : {}),
      ...(effects.some((effect) => "auth" in effect) ? { keysOf: () => [] } : {}),
    };
    // The server asks little of a socket; its types ask for all of it.
    createSshServer(bad).injectSocket(new Shaped(socket, shape) as unknown as Socket);
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
