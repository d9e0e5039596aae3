/** What k3s publishes. */
export { checkK3sRelease, nearest, type ReleaseCheck } from "./releases.ts";
