import type { PackerEvent } from "./events.ts";

/** A part of a build that people follow: it ends when Packer says that the next one begins, or a script that it is done. */
export interface Phase {
  readonly title: string;
  /** What Packer says when the phase is over; the last phase ends with the build. */
  readonly ends?: RegExp;
}

/** What our scripts print, so that a build can be followed. */
const STEP_DONE = (name: string): RegExp => new RegExp(`^homelab-step: ${name}: done$`, "m");

/**
 * The phases of a build.
 * @param scripts provisioning steps in their order, by name
 * @param last what Packer does with the finished disk
 */
export function buildPhases(scripts: readonly { name: string; title: string }[], last: string): Phase[] {
  return [
    {
      title: "Start the build VM",
      ends: /^(Waiting .* for boot|Typing the boot command|Connecting to VM via VNC)/,
    },
    { title: "Type the boot command", ends: /^(Using SSH communicator|Waiting for SSH)/ },
    { title: "Install AlmaLinux (until SSH answers)", ends: /^Connected to SSH/ },
    ...scripts.map(({ name, title }) => ({ title, ends: STEP_DONE(name) })),
    { title: last },
  ];
}

/** Follows a build through its phases. */
export class BuildProgress {
  readonly #phases: readonly Phase[];
  readonly #ended: PromiseWithResolvers[];
  readonly #listeners = new Map<number, (line: string) => void>();
  #current = 0;

  constructor(phases: readonly Phase[]) {
    this.#phases = phases;
    this.#ended = phases.map(() => withResolvers());
  }

  /** The title of the phase under way. */
  get current(): string {
    return this.#phases[this.#current]?.title ?? "";
  }

  /** Resolves when a phase is over. @throws what `fail` was given, when the build ends in it */
  async untilEndOf(index: number, output: (line: string) => void): Promise<void> {
    this.#listeners.set(index, output);
    await this.#ended[index]?.promise;
  }

  feed(event: PackerEvent): void {
    if (event.kind === "artifact") return;
    const at = this.#phases.findIndex(
      ({ ends }, index) => index >= this.#current && ends !== undefined && ends.test(event.text),
    );
    if (at >= 0) this.#reach(at + 1);
    const line = event.text.trim().split("\n").at(-1) ?? "";
    if (line !== "" && !line.startsWith("homelab-step: ")) this.#listeners.get(this.#current)?.(line);
  }

  /** The build has ended well. */
  finish(): void {
    this.#reach(this.#phases.length);
  }

  /** The build has ended in the phase under way. */
  fail(error: unknown): void {
    this.#ended[this.#current]?.reject(error);
  }

  #reach(index: number): void {
    for (; this.#current < index; this.#current += 1) this.#ended[this.#current]?.resolve();
  }
}

/** Promise.withResolvers, which Node 20 lacks. */
interface PromiseWithResolvers {
  readonly promise: Promise<void>;
  resolve(): void;
  reject(error: unknown): void;
}

function withResolvers(): PromiseWithResolvers {
  let resolve = (): void => {};
  let reject = (_error: unknown): void => {};
  const promise = new Promise<void>((onEnd, onFailure) => {
    resolve = onEnd;
    reject = onFailure;
  });
  // A build that fails before anybody waits for its phase is told by the step that comes to it.
  promise.catch(() => {});
  return { promise, resolve, reject };
}
