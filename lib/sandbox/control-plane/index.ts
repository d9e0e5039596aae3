export type { KubernetesClient } from "./api-client.ts";
export { Component } from "./component.ts";
export {
  type ClusterAccess,
  ControlPlane,
  PROGRAMS,
  type Program,
  type ProgramPaths,
} from "./control-plane.ts";
export type { ClusterNode } from "./objects.ts";
