import * as v from "valibot";
import { type Params, ProxmoxApi } from "./client.ts";
import { expected } from "./parse-answer.ts";

/** A client that reads each thing once, for those who look at a node from several sides at the same time. */
export class RememberingApi extends ProxmoxApi {
  readonly #answers = new Map<string, Promise<unknown>>();

  override async get<Schema extends v.GenericSchema>(
    path: string,
    schema: Schema,
    params: Params = {},
    signal?: AbortSignal,
  ): Promise<v.InferOutput<Schema>> {
    const key = JSON.stringify([path, params]);
    let answer = this.#answers.get(key);
    if (answer === undefined) {
      answer = super.get(path, v.unknown(), params, signal);
      this.#answers.set(key, answer);
    }
    return expected(`GET ${path}`, schema, await answer);
  }
}
