import { join, relative } from "node:path";
import { UsageError } from "../lib/errors.ts";
import { accessNames, commandsToPaste, type PveRelease, releaseOf, shellFrom } from "../lib/proxmox/index.ts";
import { defineCommand, main, type TaskContext } from "../lib/task/index.ts";
import { makeSteps } from "./pve-init/make.ts";
import { SANDBOX_FILE, settingsOnSandbox } from "./pve-init/on-sandbox.ts";
import { removeSteps } from "./pve-init/remove.ts";
import { commandFor, INIT_USES, type InitRequest, type InitSettings, inWords } from "./pve-init/request.ts";
import { rotateSteps } from "./pve-init/rotate.ts";

const FLAGS = {
  rotate: { type: "boolean", about: "replace the token; the one in .env is valid at every moment" },
  remove: { type: "boolean", about: "remove user, token and roles that this command has made" },
  user: { type: "string", value: "NAME", about: "the user that the token belongs to (default homelab@pve)" },
  token: { type: "string", value: "NAME", about: "the token's name (default tasks)" },
  "role-prefix": {
    type: "string",
    value: "NAME",
    about: "what the roles' names begin with (default Homelab)",
  },
  release: {
    type: "string",
    value: "8|9",
    about: "the Proxmox VE that --dry-run shows the commands for (default 9); otherwise the node is asked",
  },
} as const;

type Context = TaskContext<typeof FLAGS, never, (typeof INIT_USES)[number]>;

/** @throws {UsageError} for flags that do not go together */
function demandSense({ flags, sandbox }: Context): void {
  if (flags.rotate && flags.remove) {
    throw new UsageError({
      what: "--rotate and --remove do not go together",
      todo: ["Use one of them"],
    });
  }
  const names = accessNames(flags);
  if (
    sandbox !== undefined &&
    (flags.rotate || flags.remove) &&
    sandbox.endpoints.tokenId.startsWith(`${names.user}!`)
  ) {
    throw new UsageError({
      what: "The sandbox's own token stays as it is",
      why: `Every task with --sandbox uses ${sandbox.endpoints.tokenId}`,
      todo: ["Try it with another user:", commandFor({ ...names, user: "try@pve" })],
    });
  }
}

function showOnly({ flags, settings, result }: Context): void {
  const names = accessNames(flags);
  const release: PveRelease = releaseOf(flags.release ?? "9");
  if (flags.rotate || flags.remove) {
    throw new UsageError({
      what: `What ${flags.rotate ? "--rotate" : "--remove"} comes to depends on what is on the node`,
      why: "--dry-run asks no node",
      todo: ["Run it without --dry-run: it shows the commands, and asks before it runs any"],
    });
  }
  const commands = commandsToPaste(release, names, settings);
  result(commands.join("\n"), { dryRun: true, release, commands });
}

async function request(context: Context): Promise<InitRequest> {
  const { flags, root, sandbox, sources } = context;
  const names = accessNames(flags);
  const folder = sandbox?.dir ?? root;
  const dotenv = join(folder, sandbox === undefined ? ".env" : SANDBOX_FILE);
  const settings =
    sandbox === undefined
      ? await knownNode(context)
      : await settingsOnSandbox(names.user, dotenv, sandbox.endpoints.tokenId, sources);
  return {
    shell: shellFrom(settings),
    names,
    settings,
    dotenv,
    file: relative(root, dotenv),
    folder,
    sources: sandbox === undefined ? sources : [],
  };
}

/** The settings; where they lead to no node, its name is asked for. */
async function knownNode({ settings, load }: Context): Promise<InitSettings> {
  const known = settings.PM_API_URL !== undefined || settings.PM_SSH_HOST !== undefined;
  return known ? settings : await load(["PM_SSH_HOST"], INIT_USES);
}

const command = defineCommand({
  name: "pve-init",
  summary: "Make the user, roles and token that the tasks need on the node, over SSH as root, and no more",
  flags: FLAGS,
  uses: INIT_USES,
  ownDryRun: true,
  async run(context) {
    const { flags, steps, result, note } = context;
    demandSense(context);
    if (flags.dryRun) {
      note(
        `Nothing is done (--dry-run). For Proxmox VE ${flags.release ?? "9"}, to be pasted on the node as root; the token's secret is shown once, when it is made:`,
      );
      return showOnly(context);
    }
    const asked = await request(context);
    try {
      if (flags.remove) {
        const { steps: removal, removed } = removeSteps(asked);
        await steps(removal);
        const text =
          removed() === 0 ? "Nothing was removed" : `${asked.names.user} and what belonged to it are removed`;
        return result(text, { changes: removed() });
      }
      if (flags.rotate) {
        const { replace, remove, rotated } = rotateSteps(asked);
        await steps(replace);
        await steps(remove);
        const { token, removed } = rotated();
        return result(
          token === undefined ? "Nothing was changed" : `${token} has replaced ${inWords(removed)}`,
          { token, removed },
        );
      }
      const { make, settle, made } = makeSteps(asked);
      await steps(make);
      await steps(settle);
      const { token, changes, saved } = made();
      const text =
        token === undefined
          ? "Nothing was changed"
          : changes === 0
            ? `Nothing to change: ${token} may do what the tasks need`
            : `${token} may do what the tasks need${saved ? `; it is in ${asked.file}` : ""}`;
      result(text, { token, changes, saved });
    } finally {
      await asked.shell.close();
    }
  },
});

await main(import.meta.url, command);
