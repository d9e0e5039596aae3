import { failure, parameterError } from "../../calls.ts";
import { allowed, demand, mayModify } from "../../permissions.ts";
import { type AclEntry, prefixesOf, type World } from "../../world/index.ts";
import { answer, type CallContext, guardOf, type RouteTable } from "../route.ts";
import { accessRoleRoutes } from "./access-roles.ts";
import { accessTokenRoutes } from "./access-tokens.ts";
import { accessUserRoutes } from "./access-users.ts";

/** Paths that a dump of all permissions names besides those of the access control list. */
const COMMON_PATHS = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"];

const NAME = "[A-Za-z0-9._-]+";
/** The paths that rights may be given on. */
const ACL_PATH = new RegExp(
  `^/(?:access(?:/(?:groups|realm)(?:/${NAME})?)?|(?:nodes|pool|storage)(?:/${NAME})?|mapping(?:/${NAME}){0,2}|` +
    `sdn(?:/zones(?:/${NAME}(?:/${NAME}(?:/[1-9][0-9]{0,3})?)?)?)?|vms(?:/[1-9][0-9]{2,})?)?$`,
);

/** Who may do what, where. */
export const accessRoutes: RouteTable = {
  ...accessRoleRoutes,
  ...accessTokenRoutes,
  ...accessUserRoutes,

  "GET /access/domains": () =>
    answer([
      { realm: "pam", type: "pam", comment: "Linux PAM standard authentication" },
      { realm: "pve", type: "pve", comment: "Proxmox VE authentication server" },
    ]),

  "GET /access/acl": (call) => {
    const guard = guardOf(call);
    const mayAudit = allowed(guard, "/access", ["Sys.Audit"]);
    const visible = call.world.access.acl.filter(({ path }) => mayAudit || mayModify(guard, path));
    return answer(visible.map((entry) => ({ ...entry, propagate: entry.propagate ? 1 : 0 })));
  },

  "PUT /access/acl": (call) => {
    const { world, params } = call;
    const given = params.required("path");
    const named =
      listed(call, "users").length + listed(call, "tokens").length + listed(call, "groups").length;
    if (named === 0) {
      const why = "either 'users', 'groups' or 'tokens' is required.";
      throw parameterError({ users: why, groups: why, tokens: why });
    }
    const path = `/${given
      .split("/")
      .filter((part) => part !== "")
      .join("/")}`;
    if (!params.flag("delete") && !ACL_PATH.test(path)) {
      throw parameterError({ path: `invalid ACL path '${given}'` });
    }
    const changed = entriesIn(call, path);
    const isSame = (a: AclEntry, b: AclEntry): boolean =>
      a.path === b.path && a.type === b.type && a.ugid === b.ugid && a.roleid === b.roleid;
    const others = world.access.acl.filter((entry) => !changed.some((each) => isSame(each, entry)));
    const acl = params.flag("delete") ? others : [...others, ...changed];
    world.access.change({ acl: acl.sort((a, b) => (orderOf(a) < orderOf(b) ? -1 : 1)) });
    return answer(null);
  },

  "GET /access/permissions": (call) => {
    const { world, caller, params } = call;
    const userid = params.text("userid");
    const [user = "", token] = userid?.split("!") ?? [caller.user, caller.token];
    const subject = token === undefined ? { user } : { user, token };
    if (user !== caller.user) demand(guardOf(call), "/access", ["Sys.Audit"]);
    const path = params.text("path");
    const paths = path === undefined ? allPaths(world) : [path];
    const dump = paths.map((one) => [one, [...world.access.permissions(subject, one)]] as const);
    return answer(
      Object.fromEntries(
        dump
          .filter(([, permissions]) => permissions.length > 0)
          .map(([one, permissions]) => [
            one,
            Object.fromEntries(permissions.map(([name, propagates]) => [name, propagates ? 1 : 0])),
          ]),
      ),
    );
  },
};

function allPaths({ access }: World): string[] {
  return [...new Set([...COMMON_PATHS, ...access.acl.flatMap(({ path }) => prefixesOf(path))])];
}

function listed({ params }: CallContext, name: string): string[] {
  return (params.text(name) ?? "").split(/[,;\s\0]+/).filter((item) => item !== "");
}

/**
 * The lines that a call wants to have in the list, or out of it.
 * @throws {ApiError} for a role, a user or a token that does not exist
 */
function entriesIn(call: CallContext, path: string): AclEntry[] {
  const { access } = call.world;
  const refuse = (why: string): never => {
    throw failure(`ACL update failed: ${why}`);
  };
  const propagate = call.params.text("propagate") !== "0";
  return listed(call, "roles").flatMap((roleid) => {
    if (!Object.hasOwn(access.roles, roleid)) refuse(`role '${roleid}' does not exist`);
    for (const group of listed(call, "groups")) refuse(`group '${group}' does not exist`);
    const users = listed(call, "users").map((ugid): AclEntry => {
      if (access.user(ugid) === undefined) refuse(`user '${ugid}' does not exist`);
      return { path, type: "user", ugid, roleid, propagate };
    });
    const tokens = listed(call, "tokens").map((ugid): AclEntry => {
      const [user = "", token = ""] = ugid.split("!");
      const owner = access.user(user);
      if (owner === undefined) refuse(`no such user ('${user}')`);
      if (owner?.tokens[token] === undefined) refuse(`no such token '${token}' for user '${user}'`);
      return { path, type: "token", ugid, roleid, propagate };
    });
    return [...users, ...tokens];
  });
}

function orderOf({ path, type, ugid, roleid }: AclEntry): string {
  return [path, type === "user" ? 0 : 1, ugid, roleid].join("\0");
}
