export { ControlPlane, PROGRAMS, type Program, type ProgramPaths } from "./control-plane.ts";
export type { ClusterNode } from "./objects.ts";
