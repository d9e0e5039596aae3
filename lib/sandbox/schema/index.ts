/** The API's schema: which parameters a route takes, and whether values are right. */

export { formatDiskSize, parseDiskSize } from "./disk-size.ts";
export { isVmOption, optionSchema, routeNames, routeSchema } from "./lookup.ts";
export { namedKeys } from "./named-formats.ts";
export { type PropertyValues, parsePropertyString, printPropertyString } from "./property-string.ts";
export type { ParameterSchema, PermissionCheck, PropertySchemas, RouteSchema } from "./types.ts";
export { Params, type RawValue, validate } from "./validate.ts";
