/** The Proxmox VE node: its API, and SSH to it. */
export * from "./access/index.ts";
export { type ApiAccess, ProxmoxApi } from "./api/client.ts";
export { ApiFailure } from "./api/failures.ts";
export { RememberingApi } from "./api/remembering.ts";
export { shownCertificate, type TlsTrust } from "./api/tls.ts";
export { apiTrouble } from "./api/trouble.ts";
export { type Namesake, namesakes } from "./build-vms.ts";
export { type CatalogueEntry, catalogueOf, imageCatalogue } from "./catalogue.ts";
export { type NodeCertificate, nodeCertificate } from "./certificate.ts";
export { finishTemplate, isoVolume, removeVm } from "./changes.ts";
export { accessFrom, apiFrom, isTrusted, shellFrom, trustedPem } from "./connect.ts";
export {
  type ImageMetadata,
  imageMetadata,
  parseNotes,
  renderMetadata,
  renderNotes,
} from "./image-metadata.ts";
export {
  findTemplate,
  inventory,
  isCloning,
  listVms,
  shutDown,
  type VmSummary,
  version,
  vmDetails,
} from "./inventory.ts";
export {
  isUploadLocked,
  type Leftover,
  leftoversByApi,
  leftoversBySsh,
  sameVm,
} from "./leftovers/index.ts";
export { type ClusterNode, NodeFacts, type NodeStorage } from "./node-facts.ts";
export { places } from "./places.ts";
export * from "./privileges/index.ts";
export { createSparseQcow2, inspectQcow2, type Qcow2 } from "./qcow2.ts";
export { quoteWords } from "./quote.ts";
export { learnHostKey, NodeShell, type SshTarget, type VmTarget } from "./ssh.ts";
export { isHostKeyFailure } from "./ssh-failure.ts";
export { openTunnel, type Tunnel, tunnelCommand } from "./tunnel.ts";
export * from "./upload/index.ts";
export type { TemplatePlan, Vmid, VmMaker } from "./vm-maker.ts";
