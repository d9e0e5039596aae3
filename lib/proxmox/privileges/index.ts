/** What the tasks need to be allowed on a node, and what a token lacks of it. */
export { type MissingPrivilege, missingPrivileges } from "./missing.ts";
export { NEEDS, type PlaceSettings, type PveRelease, type PveTask, pathOf } from "./needs.ts";
export { privilegeAdvice } from "./refused.ts";
export { releaseOf } from "./release.ts";
export { type Grant, grants } from "./roles.ts";
export { hiddenVms } from "./sight.ts";
