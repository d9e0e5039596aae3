import { ApiError, failure } from "../../calls.ts";
import { allowed } from "../../permissions.ts";
import { SUPERUSER, type User } from "../../world/index.ts";
import { answer, type CallContext, guardOf, type RouteTable } from "../route.ts";
import { tokenFacts, userIn } from "./access-lookup.ts";

const REALMS: readonly string[] = ["pam", "pve"];

/** Users; the sandbox knows no passwords and no groups. */
export const accessUserRoutes: RouteTable = {
  /** Nobody has a password here, so that none is right. */
  "POST /access/ticket": () => {
    throw new ApiError(401, "authentication failure");
  },

  "GET /access/users": (call) => {
    const { caller, params, world } = call;
    const mayAll = allowed(guardOf(call), "/access/groups", ["User.Modify", "Sys.Audit"], "any");
    const enabled = params.text("enabled");
    const visible = world.access.users
      .filter(({ userid }) => mayAll || (userid === caller.user && caller.token === undefined))
      .filter(({ enable = true }) => enabled === undefined || enable === (enabled === "1"));
    return answer(
      visible.map((user) => ({ userid: user.userid, ...realmType(user.userid), ...userFacts(user) })),
    );
  },

  "POST /access/users": (call) => {
    const { access } = call.world;
    const userid = call.params.required("userid");
    if (access.user(userid) !== undefined) {
      throw failure(`create user failed: user '${userid}' already exists`);
    }
    demandNoGroups(call, "create user failed");
    access.changeUser(userid, changed({ userid, tokens: {} }, call));
    return answer(null);
  },

  "GET /access/users/{userid}": (call) => {
    const user = userIn(call);
    const tokens = Object.entries(user.tokens).map(([name, token]) => [name, tokenFacts(token)]);
    return answer({ ...userFacts(user), groups: [], tokens: Object.fromEntries(tokens) });
  },

  "PUT /access/users/{userid}": (call) => {
    const user = userIn(call, "update user failed: ");
    demandNoGroups(call, "update user failed");
    call.world.access.changeUser(user.userid, changed(user, call));
    return answer(null);
  },

  /** One that is not there is no failure; root comes back by itself. */
  "DELETE /access/users/{userid}": ({ world: { access }, params }) => {
    const userid = params.required("userid");
    access.changeUser(userid, userid === SUPERUSER ? { userid, tokens: {} } : undefined);
    return answer(null);
  },
};

function demandNoGroups({ params }: CallContext, what: string): void {
  const [group] = (params.text("groups") ?? "").split(/[,;\s\0]+/).filter((name) => name !== "");
  if (group !== undefined) throw failure(`${what}: no such group '${group}'`);
}

/** A user with what a call says of it. */
function changed(user: User, { params }: CallContext): User {
  const texts = ["comment", "email", "firstname", "lastname", "keys"] as const;
  const given = texts.flatMap((name) => {
    const value = params.text(name);
    return value === undefined ? [] : [[name, value] as const];
  });
  const expire = params.number("expire");
  return {
    ...user,
    ...Object.fromEntries(given),
    ...(expire === undefined ? {} : { expire }),
    ...(params.text("enable") === undefined ? {} : { enable: params.flag("enable") }),
  };
}

/** Realms that do not exist have no type; users of theirs may be made all the same. */
function realmType(userid: string): Record<string, string> {
  const realm = userid.slice(userid.lastIndexOf("@") + 1);
  return REALMS.includes(realm) ? { "realm-type": realm } : {};
}

function userFacts({ enable = true, expire = 0, ...user }: User): Record<string, unknown> {
  const { comment, email, firstname, lastname, keys } = user;
  const texts = { comment, firstname, lastname, keys };
  const shown = Object.entries(texts).filter(([, text]) => text !== undefined && text !== "");
  return {
    enable: enable ? 1 : 0,
    expire,
    ...Object.fromEntries(shown),
    // The file has an empty field for it wherever one with a text follows.
    ...(email !== undefined || comment ? { email: email ?? "" } : {}),
  };
}
