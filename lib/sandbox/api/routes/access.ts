import { ApiError, failure } from "../../calls.ts";
import { allowed, demand } from "../../permissions.ts";
import type { ApiToken, User } from "../../world/index.ts";
import { answer, type CallContext, guardOf, type RouteTable } from "../route.ts";

/** Paths that a dump of all permissions names besides those of the access control list. */
const COMMON_PATHS = [
  "/",
  "/access",
  "/access/groups",
  "/nodes",
  "/pool",
  "/sdn",
  "/sdn/zones",
  "/storage",
  "/vms",
];

/** Users, tokens, roles and what they may. */
export const accessRoutes: RouteTable = {
  "GET /access/acl": (call) => {
    if (!allowed(guardOf(call), "/access", ["Sys.Audit", "Permissions.Modify"], "any")) return answer([]);
    return answer(call.world.access.acl.map((entry) => ({ ...entry, propagate: entry.propagate ? 1 : 0 })));
  },

  "GET /access/domains": () =>
    answer([
      { realm: "pam", type: "pam", comment: "Linux PAM standard authentication" },
      { realm: "pve", type: "pve", comment: "Proxmox VE authentication server" },
    ]),

  "GET /access/permissions": (call) => {
    const { world, caller, params } = call;
    const userid = params.text("userid");
    const [user = "", token] = userid?.split("!") ?? [caller.user, caller.token];
    const subject = token === undefined ? { user } : { user, token };
    if (user !== caller.user) demand(guardOf(call), "/access", ["Sys.Audit"]);
    const path = params.text("path");
    const paths =
      path === undefined ? [...COMMON_PATHS, ...world.access.acl.map((entry) => entry.path)] : [path];
    const dump = paths.map((one) => [one, [...world.access.privileges(subject, one)]] as const);
    return answer(
      Object.fromEntries(
        dump
          .filter(([, privileges]) => privileges.length > 0)
          .map(([one, privileges]) => [one, Object.fromEntries(privileges.map((name) => [name, 1]))]),
      ),
    );
  },

  "GET /access/roles": ({ world }) =>
    answer(
      Object.entries(world.access.roles).map(([roleid, privileges]) => ({
        roleid,
        privs: [...privileges].sort().join(","),
        special: world.access.isBuiltIn(roleid) ? 1 : 0,
      })),
    ),

  "GET /access/roles/{roleid}": ({ world, params }) => {
    const privileges = world.access.roles[params.required("roleid")];
    if (privileges === undefined) throw failure(`role '${params.text("roleid")}' does not exist`);
    return answer(Object.fromEntries(privileges.map((name) => [name, 1])));
  },

  "GET /access/users": (call) => {
    const visible = call.world.access.users.filter(
      ({ userid }) =>
        allowed(guardOf(call), "/access/groups", ["User.Modify", "Sys.Audit"], "any") ||
        (userid === call.caller.user && call.caller.token === undefined),
    );
    return answer(
      visible.map((user) => ({ userid: user.userid, "realm-type": realmOf(user), ...facts(user) })),
    );
  },

  "GET /access/users/{userid}": (call) => {
    const user = userIn(call);
    return answer({ ...facts(user), groups: [], tokens: mapTokens(user.tokens) });
  },

  "GET /access/users/{userid}/token": (call) => {
    const tokens = Object.entries(mapTokens(userIn(call).tokens));
    return answer(tokens.map(([tokenid, token]) => ({ tokenid, ...token })));
  },

  "GET /access/users/{userid}/token/{tokenid}": (call) => {
    const name = call.params.required("tokenid");
    const token = mapTokens(userIn(call).tokens)[name];
    if (token === undefined)
      throw failure(`no such token '${name}' for user '${call.params.text("userid")}'`);
    return answer(token);
  },
};

function userIn({ world, params }: CallContext): User {
  const userid = params.required("userid");
  const user = world.access.user(userid);
  if (user === undefined) throw new ApiError(500, `no such user ('${userid}')`);
  return user;
}

function realmOf({ userid }: User): string {
  return userid.slice(userid.lastIndexOf("@") + 1);
}

function facts({ comment, email }: User): Record<string, unknown> {
  return {
    enable: 1,
    expire: 0,
    ...(comment === undefined ? {} : { comment }),
    ...(email === undefined ? {} : { email }),
  };
}

function mapTokens(tokens: Readonly<Record<string, ApiToken>>): Record<string, Record<string, number>> {
  return Object.fromEntries(
    Object.entries(tokens).map(([name, { privsep }]) => [name, { privsep: privsep ? 1 : 0, expire: 0 }]),
  );
}
