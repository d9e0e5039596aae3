import { failure, parameterError } from "../../calls.ts";
import { isPrivilege, type Privilege, privilegesOf } from "../../world/index.ts";
import { answer, type CallContext, type RouteTable } from "../route.ts";

/** Roles: sets of privileges by name. */
export const accessRoleRoutes: RouteTable = {
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

  "POST /access/roles": (call) => {
    const { access } = call.world;
    const roleid = call.params.required("roleid");
    const privileges = privilegesIn(call);
    if (/^PVE/i.test(roleid)) {
      throw parameterError({
        roleid: "cannot use role ID starting with the (case-insensitive) 'PVE' namespace",
      });
    }
    if (Object.hasOwn(access.roles, roleid)) {
      throw failure(`create role failed: role '${roleid}' already exists`);
    }
    access.change({ roles: { ...access.customRoles, [roleid]: privileges } });
    return answer(null);
  },

  "PUT /access/roles/{roleid}": (call) => {
    const { access } = call.world;
    const roleid = call.params.required("roleid");
    const privileges = privilegesIn(call);
    if (access.isBuiltIn(roleid)) throw failure(`auto-generated role '${roleid}' cannot be modified`);
    const before = access.customRoles[roleid];
    if (before === undefined) throw failure(`update role failed: role '${roleid}' does not exist`);
    const kept = call.params.flag("append") ? before : [];
    access.change({
      roles: { ...access.customRoles, [roleid]: [...new Set([...kept, ...privileges])].sort() },
    });
    return answer(null);
  },

  /** What the access control list says of the role stays in its file until that is written the next time. */
  "DELETE /access/roles/{roleid}": ({ world: { access }, params }) => {
    const roleid = params.required("roleid");
    if (access.isBuiltIn(roleid)) throw failure(`auto-generated role '${roleid}' cannot be deleted`);
    const { [roleid]: gone, ...roles } = access.customRoles;
    if (gone === undefined) throw failure(`delete role failed: role '${roleid}' does not exist`);
    access.change({ roles });
    return answer(null);
  },
};

/**
 * The privileges that a call names.
 * @throws {ApiError} 400 for one that the node's release does not have
 */
function privilegesIn({ world, params }: CallContext): Privilege[] {
  const known = privilegesOf(world.release);
  const names = (params.text("privs") ?? "").split(/[,;\s\0]+/).filter((name) => name !== "");
  return [...new Set(names)].sort().map((name) => {
    if (isPrivilege(name) && known.includes(name)) return name;
    throw parameterError({ privs: `invalid format - invalid privilege '${name}'\n` });
  });
}
