import { type ApiAnswer, type Method, ROOT } from "../calls.ts";
import type { SandboxContext } from "../hooks.ts";
import { routeSchema } from "../schema/index.ts";
import { type Process, type Program, write } from "../shell/index.ts";
import { type CommandLine, type ExitCodes, parseCli, perlJson, sayFailure, sortedJson } from "./cli.ts";
import { type Column, table } from "./table.ts";

/** One command of pveum: a call of the API as root@pam, and how its answer is shown. */
interface Command {
  readonly usage: string;
  /** The API's route, whose parameters are the command's options. */
  readonly route: string;
  /** The parameters that its words are. */
  readonly words: readonly string[];
  /** Parameters that it always sends. */
  readonly fixed?: Readonly<Record<string, string>>;
  readonly exitCodes?: ExitCodes;
  /** How the answer is shown; nothing is where it is left out. */
  readonly show?: (data: unknown, style: { border: boolean; header: boolean }) => string;
}

const FORMAT = ["output-format", "noborder", "noheader", "quiet", "human-readable"];
const FORMATTED = "[FORMAT_OPTIONS]";

/** Proxmox's tool for users and rights. */
export function pveum(context: SandboxContext): Program {
  return async (process) => {
    const { command, rest, called } = find(process.args);
    if (command === undefined) {
      await write(process.stderr, `ERROR: unknown command 'pveum ${called}'\n`);
      return 255;
    }
    // Each call reads the configuration anew, and says what it passes over.
    for (const role of context.world.access.lostRoles) {
      await write(process.stderr, `user config - ignore invalid acl role '${role}'\n`);
    }
    try {
      const options = optionsOf(command);
      const line = parseCli(rest, {
        positionals: command.words.length,
        known: (name) => options.includes(name),
      });
      const { data } = await call(context, command, line);
      return await show(process, command, line, data);
    } catch (error) {
      return await sayFailure(process, error, `pveum ${command.usage}`, command.exitCodes);
    }
  };
}

function find(args: readonly string[]): {
  readonly command: Command | undefined;
  readonly rest: readonly string[];
  readonly called: string;
} {
  const [first = "", ...others] = args;
  const words = Object.hasOwn(ALIASES, first) ? [...(ALIASES[first] ?? []), ...others] : args;
  for (const length of [3, 2]) {
    const name = words.slice(0, length).join(" ");
    if (Object.hasOwn(COMMANDS, name)) {
      return { command: COMMANDS[name], rest: words.slice(length), called: name };
    }
  }
  return { command: undefined, rest: [], called: args.slice(0, 2).join(" ") };
}

function optionsOf({ route, words, fixed = {}, show }: Command): readonly string[] {
  const own = Object.keys(routeSchema(route).properties);
  const taken = new Set([...words, ...Object.keys(fixed)]);
  return [...own.filter((name) => !taken.has(name)), ...(show === undefined ? [] : FORMAT)];
}

async function call(
  { dispatch }: SandboxContext,
  { route, words, fixed = {} }: Command,
  { positionals, options }: CommandLine,
): Promise<ApiAnswer> {
  const [method, template = ""] = route.split(" ");
  const named = Object.fromEntries(words.map((word, at) => [word, positionals[at] ?? ""]));
  const path = template.replace(/\{(\w+)\}/g, (_, word: string) => encodeURIComponent(named[word] ?? ""));
  const params: Record<string, string> = { ...fixed };
  for (const [name, value] of Object.entries(options)) if (!FORMAT.includes(name)) params[name] = value;
  // A token is one parameter of the API where the command takes two words.
  const { userid, tokenid } = named;
  if (route === PERMISSIONS) params.userid = tokenid === undefined ? String(userid) : `${userid}!${tokenid}`;
  for (const word of words) {
    if (route !== PERMISSIONS && !template.includes(`{${word}}`)) params[word] = named[word] ?? "";
  }
  return await dispatch({ method: method as Method, path, params, caller: ROOT });
}

async function show(
  { stdout }: Process,
  { show: draw }: Command,
  { options }: CommandLine,
  data: unknown,
): Promise<number> {
  if (draw === undefined || options.quiet === "1") return 0;
  const format = options["output-format"] ?? "text";
  if (format === "json") await write(stdout, `${sortedJson(data)}\n`);
  else if (format === "json-pretty") await write(stdout, `${perlJson(data)}\n`);
  else
    await write(stdout, draw(data, { border: options.noborder !== "1", header: options.noheader !== "1" }));
  return 0;
}

/** A list of objects. */
function list(...columns: readonly (string | Column)[]): NonNullable<Command["show"]> {
  const all = columns.map((column) => (typeof column === "string" ? { name: column } : column));
  return (data, style) => table(all, data as Readonly<Record<string, unknown>>[], style);
}

/** One object, a row for each member. */
const members: NonNullable<Command["show"]> = (data, style) =>
  table(
    [{ name: "key" }, { name: "value" }],
    Object.entries(data as object).map(([key, value]) => ({ key, value })),
    style,
  );

const permissions: NonNullable<Command["show"]> = (data, style) => {
  const rows = Object.entries(data as Readonly<Record<string, Readonly<Record<string, number>>>>).map(
    ([path, held]) => ({
      "ACL path": path,
      Permissions: Object.entries(held)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, propagates]) => (propagates === 1 ? `${name} (*)` : name))
        .join("\n"),
    }),
  );
  const drawn = rows.length === 0 ? "" : table([{ name: "ACL path" }, { name: "Permissions" }], rows, style);
  return `${drawn}Permissions marked with '(*)' have the 'propagate' flag set.\n`;
};

const expire: Column = { name: "expire", figures: true };
const PERMISSIONS = "GET /access/permissions";
const ACL = "PUT /access/acl";
const ROLE = "/access/roles/{roleid}";
const USER = "/access/users/{userid}";
const TOKEN = `${USER}/token/{tokenid}`;

const COMMANDS: Readonly<Record<string, Command>> = {
  "role add": { usage: "role add <roleid> [OPTIONS]", route: "POST /access/roles", words: ["roleid"] },
  "role modify": { usage: "role modify <roleid> [OPTIONS]", route: `PUT ${ROLE}`, words: ["roleid"] },
  "role delete": { usage: "role delete <roleid>", route: `DELETE ${ROLE}`, words: ["roleid"] },
  "role list": {
    usage: `role list  ${FORMATTED}`,
    route: "GET /access/roles",
    words: [],
    show: list("roleid", "privs", "special"),
  },
  "user add": {
    usage: "user add <userid> [OPTIONS]",
    route: "POST /access/users",
    words: ["userid"],
    exitCodes: [[/^create user failed: user '.*' already exists/, 2]],
  },
  "user modify": { usage: "user modify <userid> [OPTIONS]", route: `PUT ${USER}`, words: ["userid"] },
  "user delete": { usage: "user delete <userid>", route: `DELETE ${USER}`, words: ["userid"] },
  "user list": {
    usage: `user list  [OPTIONS] ${FORMATTED}`,
    route: "GET /access/users",
    words: [],
    show: list(
      "userid",
      "comment",
      "email",
      "enable",
      expire,
      "firstname",
      "groups",
      "keys",
      "lastname",
      "realm-type",
      { name: "tfa-locked-until", figures: true },
      "tokens",
      "totp-locked",
    ),
  },
  "user permissions": {
    usage: `user permissions <userid> [OPTIONS] ${FORMATTED}`,
    route: PERMISSIONS,
    words: ["userid"],
    show: permissions,
  },
  "user token add": {
    usage: `user token add <userid> <tokenid> [OPTIONS] ${FORMATTED}`,
    route: `POST ${TOKEN}`,
    words: ["userid", "tokenid"],
    show: members,
  },
  "user token modify": {
    usage: `user token modify <userid> <tokenid> [OPTIONS] ${FORMATTED}`,
    route: `PUT ${TOKEN}`,
    words: ["userid", "tokenid"],
    show: members,
  },
  "user token remove": {
    usage: `user token remove <userid> <tokenid> ${FORMATTED}`,
    route: `DELETE ${TOKEN}`,
    words: ["userid", "tokenid"],
  },
  "user token list": {
    usage: `user token list <userid> ${FORMATTED}`,
    route: `GET ${USER}/token`,
    words: ["userid"],
    show: list("tokenid", "comment", expire, "privsep"),
  },
  "user token permissions": {
    usage: `user token permissions <userid> <tokenid> [OPTIONS] ${FORMATTED}`,
    route: PERMISSIONS,
    words: ["userid", "tokenid"],
    show: permissions,
  },
  "acl modify": { usage: "acl modify <path> --roles <string> [OPTIONS]", route: ACL, words: ["path"] },
  "acl delete": {
    usage: "acl delete <path> --roles <string> [OPTIONS]",
    route: ACL,
    words: ["path"],
    fixed: { delete: "1" },
  },
  "acl list": {
    usage: `acl list  ${FORMATTED}`,
    route: "GET /access/acl",
    words: [],
    show: list("path", "roleid", "type", "ugid", "propagate"),
  },
};

/** Older names, which people still have in their notes. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  roleadd: ["role", "add"],
  rolemod: ["role", "modify"],
  roledel: ["role", "delete"],
  useradd: ["user", "add"],
  usermod: ["user", "modify"],
  userdel: ["user", "delete"],
  aclmod: ["acl", "modify"],
  acldel: ["acl", "delete"],
};
