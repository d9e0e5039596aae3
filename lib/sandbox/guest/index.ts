/** What runs inside the VMs. */
export { Guests } from "./runtime.ts";
