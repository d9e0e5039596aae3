/** The installer ISO: which one, where from, and that it is the right one. */
export { obtainIso } from "./obtain.ts";
export { type Iso, newestMinimal, parseChecksums } from "./publisher.ts";
export { type IsoOptions, type IsoRequest, resolveIso } from "./resolve.ts";
