/** Kubernetes: kubectl, the kubeconfig, kustomize, Argo CD and the repository it reads. */
export {
  type Application,
  applications,
  hintsFor,
  syncFailure,
} from "./applications.ts";
export {
  ARGO_NAMESPACE,
  type ArgoInstallation,
  argoLogin,
  findArgo,
  installArgo,
  isInstalled,
  renderBootstrap,
  waitForArgo,
} from "./argo.ts";
export { notApplied } from "./failures.ts";
export { APPLY } from "./field-manager.ts";
export {
  type ClusterEntry,
  clusterOf,
  k3sCredentials,
  type Merged,
  mergeCluster,
  tunnelPort,
} from "./kubeconfig.ts";
export { readKubeconfig, updateKubeconfig } from "./kubeconfig-file.ts";
export { Kubectl } from "./kubectl.ts";
export { type Kustomize, kustomizeBuild } from "./kustomize.ts";
export { makeLocalRepository } from "./local-repository.ts";
export { demandNamespaces, notShared } from "./namespaces.ts";
export { type KubernetesNode, kubernetesNodes } from "./nodes.ts";
export { demandPermissions } from "./permissions.ts";
export { inShort } from "./problems.ts";
export {
  parseRepository,
  REPOSITORY_FILE,
  type RepositoryAddress,
  readRepository,
  writeRepository,
} from "./repository.ts";
export { type ClusterAccess, ClusterSession } from "./session.ts";
export { putStandIns, type RemoteChart } from "./stand-ins.ts";
export { type SyncOutcome, waitForSync } from "./sync.ts";
export { renderApplications } from "./tree.ts";
