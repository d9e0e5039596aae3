/** Linters and schema checks of what is in the repository, each with what it says as places in files. */
export { dockerfiles, shellScripts, treeFiles, yamlFiles } from "./files.ts";
export { hadolint } from "./hadolint.ts";
export { type Chart, type KustomizationRoot, kustomizationRoots, partFiles } from "./kustomizations.ts";
export { type DeclaredObject, declaredObjects, isChartFile, isRendered, notObjects } from "./locate.ts";
export { checkManifests, documentsIn, type ManifestSet, type SchemaProblem } from "./manifests.ts";
export { formatRemark, type LintOptions, type Remark } from "./remark.ts";
export { shellcheck } from "./shellcheck.ts";
export { tflint } from "./tflint.ts";
export { yamllint } from "./yamllint.ts";
