import { type Finding, Unavailable } from "../../../lib/check/index.ts";
import { loadSettings, type SettingName, type Settings, type Source } from "../../../lib/config/index.ts";
import { TaskError, UsageError } from "../../../lib/errors.ts";
import { CommandError, type RunResult } from "../../../lib/process.ts";
import {
  accessFrom,
  apiTrouble,
  inventory,
  isHostKeyFailure,
  NodeFacts,
  type NodeShell,
  RememberingApi,
  shellFrom,
  version,
} from "../../../lib/proxmox/index.ts";
import { declaredValues } from "../../../lib/tofu/index.ts";
import { ENVIRONMENT_REQUIRES, ENVIRONMENT_USES } from "../../tf-init.ts";

const USES = [
  ...ENVIRONMENT_REQUIRES,
  ...ENVIRONMENT_USES,
  "PM_SSH_HOST",
  "PM_SSH_USER",
  "PM_SSH_PORT",
  "PM_SSH_CONFIG",
  "PM_ISO_STORAGE",
  "ALMA_ISO_URL",
] as const satisfies readonly SettingName[];

export type LookSettings = Settings<never, (typeof USES)[number]>;

/** Each costs a handshake; on a few of them what is asked waits for one round trip or two, not for all. */
const CONNECTIONS = 4;

/** Who has to tell of a trouble that many checks meet. */
const TELLS = {
  name: "node/name",
  connection: "node/api",
  certificate: "node/certificate",
  token: "node/token",
} as const;

/** One node, looked at from all sides at once: each thing is asked once, over one SSH connection. */
export class NodeLook {
  /** The repository's folder. */
  readonly root: string;
  readonly settings: LookSettings;
  readonly shell: NodeShell;
  #api: RememberingApi | undefined;
  #login: Promise<string> | undefined;
  #declared: Promise<Record<string, string>> | undefined;

  constructor(root: string, settings: LookSettings) {
    this.root = root;
    this.settings = settings;
    this.shell = shellFrom(settings);
  }

  /** @throws {Unavailable} where settings are malformed, which the check of the settings tells */
  static async at(root: string, sources: readonly Source[]): Promise<NodeLook> {
    try {
      return new NodeLook(root, await loadSettings([], USES, sources));
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      throw elsewhere("the settings are not well-formed", "settings");
    }
  }

  get api(): RememberingApi {
    const { settings } = this;
    const { PM_API_URL: url, PM_API_TOKEN_ID: id, PM_API_TOKEN_SECRET: secret } = settings;
    if (url === undefined || id === undefined || secret === undefined) {
      throw elsewhere("the API's settings are incomplete", "settings");
    }
    const given = { PM_API_URL: url, PM_API_TOKEN_ID: id, PM_API_TOKEN_SECRET: secret };
    this.#api ??= new RememberingApi({
      ...accessFrom({ ...settings, ...given }),
      connections: CONNECTIONS,
      // A call that hangs is a finding, and is not to hold up the others three times as long.
      asksAgain: false,
    });
    return this.#api;
  }

  facts(signal: AbortSignal): NodeFacts {
    return new NodeFacts(this.api, this.settings.PM_NODE, signal);
  }

  /** What the environment's variables say. */
  async declared(): Promise<Record<string, string>> {
    this.#declared ??= declaredValues(this.root, this.settings.ENV);
    return await this.#declared;
  }

  /**
   * Ask something of the API. Where nothing can be asked of it, that is told once, by the check whose business it is.
   * @throws {Unavailable} naming that check
   */
  async ask<Result>(
    signal: AbortSignal,
    question: (facts: NodeFacts, api: RememberingApi) => Promise<Result>,
  ): Promise<Result> {
    const { api } = this;
    // Asked once for all of them, so that not each one knocks at a closed door.
    await version(api, signal).catch((error: unknown) => {
      signal.throwIfAborted();
      throw elsewhere("nothing can be asked of the API", TELLS[apiTrouble(error)]);
    });
    return await question(this.facts(signal), api);
  }

  /** Log in; further commands then share the connection. @throws {TaskError} in ssh's words */
  async login(signal: AbortSignal): Promise<void> {
    await this.userId(signal);
  }

  /** The number of the user that we are on the node, "0" for root: the first thing that is asked there. */
  async userId(signal: AbortSignal): Promise<string> {
    this.#login ??= this.shell.run(["id", "-u"], { signal }).then(
      ({ stdout }) => stdout.trim(),
      (error: unknown) => {
        if (!(error instanceof CommandError)) throw error;
        return "";
      },
    );
    return await this.#login;
  }

  /**
   * Run a program on the node.
   * @throws {Unavailable} where there is no login, which another check tells; {CommandError}
   */
  async run(words: readonly string[], signal: AbortSignal): Promise<RunResult> {
    try {
      await this.login(signal);
    } catch (error) {
      signal.throwIfAborted();
      const tells = error instanceof TaskError && isHostKeyFailure(error) ? "node/host-key" : "node/ssh";
      throw elsewhere("there is no SSH to the node", tells);
    }
    return await this.shell.run(words, { signal });
  }

  async inventory(signal: AbortSignal): Promise<Awaited<ReturnType<typeof inventory>>> {
    return await this.ask(signal, async (_, api) => await inventory(api, signal));
  }

  async close(): Promise<void> {
    await Promise.all([this.#api?.close(), this.shell.close()]);
  }
}

/** Said by a check that cannot be made because of something that another check tells. */
export function elsewhere(why: string, check: string): Unavailable {
  return new Unavailable(check, `Not known: ${why} (see ${check})`, []);
}

/** Seen, and nothing to complain about. */
export function seen(evidence: string, fix: readonly string[] = []): Finding {
  return { state: "ok", evidence, fix };
}
