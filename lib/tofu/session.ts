import { Tofu, type TofuOptions } from "./cli.ts";

/** OpenTofu on one environment for the steps of one list: opened by the first that needs it, closed by the last. */
export class TofuSession {
  readonly #options: () => Promise<TofuOptions>;
  #tofu: Tofu | undefined;

  constructor(options: () => Promise<TofuOptions>) {
    this.#options = options;
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
