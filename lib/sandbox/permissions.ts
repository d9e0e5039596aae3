import { ApiError, type Caller } from "./calls.ts";
import type { PermissionCheck } from "./schema/index.ts";
import { type AccessControl, asIn, isPrivilege, type Privilege } from "./world/index.ts";

/** Parameters as they came in; checks come before validation. */
type RawParams = Readonly<Record<string, unknown>>;

/** What privilege checks are made against. */
export interface Guard {
  readonly access: AccessControl;
  readonly caller: Caller;
}

/** Whether the caller has all (or with "any" one) of some privileges on a path. */
export function allowed(
  { access, caller }: Guard,
  path: string,
  privileges: readonly Privilege[],
  mode: "all" | "any" = "all",
): boolean {
  const has = access.privileges(caller, path);
  const test = (privilege: Privilege): boolean => has.has(privilege);
  return mode === "all" ? privileges.every(test) : privileges.some(test);
}

/**
 * Refuse the call unless the caller has the privileges.
 * @throws {ApiError} 403 that names the path and what is missing
 */
export function demand(
  guard: Guard,
  path: string,
  privileges: readonly Privilege[],
  mode: "all" | "any" = "all",
): void {
  if (allowed(guard, path, privileges, mode)) return;
  const missing =
    mode === "any" ? privileges.join("|") : privileges.find((one) => !allowed(guard, path, [one]));
  throw forbidden(`${path}, ${missing}`);
}

/** Whether the caller may change who may do what on a path. */
export function mayModify(guard: Guard, path: string): boolean {
  return allowed(guard, path, modifiers(path), "any");
}

/** The privileges of which one is needed to change permissions on a path. */
function modifiers(path: string): readonly Privilege[] {
  const owner: Readonly<Record<string, Privilege>> = {
    storage: "Datastore.Allocate",
    vms: "VM.Allocate",
    pool: "Pool.Allocate",
  };
  const own = owner[/^\/(\w+)\/./.exec(path)?.[1] ?? ""];
  return own === undefined ? ["Permissions.Modify"] : ["Permissions.Modify", own];
}

/** 403, with or without the reason. */
export function forbidden(detail?: string): ApiError {
  return new ApiError(403, `Permission check failed${detail === undefined ? "" : ` (${detail})`}`);
}

/**
 * Make the check that the schema states for a route.
 * @throws {ApiError} 403
 */
export function enforce(guard: Guard, check: PermissionCheck, params: RawParams): void {
  const [kind, ...rest] = check;
  if (kind === "and") {
    for (const part of rest) enforce(guard, part as PermissionCheck, params);
  } else if (kind === "or") {
    // The server does not say which of the alternatives is missing.
    if (!rest.some((part) => passes(guard, part as PermissionCheck, params))) throw forbidden();
  } else if (kind === "perm") {
    const [template, privileges, ...options] = rest as [string, string[], ...unknown[]];
    const needed = optionOf(options, "require_param");
    if (needed !== undefined && params[String(needed)] === undefined) throw forbidden();
    const mode = optionOf(options, "any") === 1 ? "any" : "all";
    demand(guard, fill(template, params), known(guard, privileges), mode);
  } else if (kind === "userid-param") {
    const userid = String(params.userid);
    if (rest[0] === "Realm.AllocateUser") {
      demand(guard, `/access/realm/${userid.slice(userid.lastIndexOf("@") + 1)}`, ["Realm.AllocateUser"]);
    } else if (userid !== guard.caller.user || guard.caller.token !== undefined) throw forbidden();
  } else if (kind === "userid-group") {
    demand(guard, "/access/groups", known(guard, rest[0] as string[]), "any");
  } else if (kind === "perm-modify") {
    const path = fill(String(rest[0]), params);
    demand(guard, path, modifiers(path), "any");
  } else {
    throw new Error(`unknown permission check '${String(kind)}'`);
  }
}

/** The privileges by the names that the node's release has for them. */
function known({ access }: Guard, privileges: readonly string[]): readonly Privilege[] {
  return asIn(access.release, privileges.filter(isPrivilege));
}

function passes(guard: Guard, check: PermissionCheck, params: RawParams): boolean {
  try {
    enforce(guard, check, params);
    return true;
  } catch (error) {
    if (error instanceof ApiError) return false;
    throw error;
  }
}

/** Options follow in pairs: "any", 1. */
function optionOf(options: readonly unknown[], name: string): unknown {
  const at = options.indexOf(name);
  return at < 0 ? undefined : options[at + 1];
}

function fill(template: string, params: RawParams): string {
  return template.replace(/\{([a-z]+)\}/g, (_, name: string) => String(params[name] ?? ""));
}
