import { Tofu, type TofuOptions } from "./cli.ts";

/** OpenTofu on one environment for the steps of one list: opened by the first that needs it, closed by the last. */
export class TofuSession {
  /** There is a passphrase now, and the state is still readable: an apply writes it anew, whatever else it does. */
  readonly encryptsState: boolean;
  readonly #options: () => Promise<TofuOptions>;
  #tofu: Tofu | undefined;

  constructor(options: () => Promise<TofuOptions>, encryptsState = false) {
    this.#options = options;
    this.encryptsState = encryptsState;
  }

  async tofu(): Promise<Tofu> {
    this.#tofu ??= await Tofu.open(await this.#options());
    return this.#tofu;
  }

  /** Removes plan and variables. What a list that failed leaves open goes with the process. */
  close(): void {
    this.#tofu?.close();
    this.#tofu = undefined;
  }
}
