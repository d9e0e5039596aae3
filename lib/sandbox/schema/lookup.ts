import routes from "./routes.json" with { type: "json" };
import type { ParameterSchema, PropertySchemas, RouteSchema } from "./types.ts";
import vmConfig from "./vm-config.json" with { type: "json" };

const ROUTES = routes as unknown as Readonly<Record<string, RouteSchema>>;
const VM_CONFIG = vmConfig as unknown as PropertySchemas;

/** How many of each numbered option a VM may have: the schema writes "net[n]" without saying it. */
const HOW_MANY: Readonly<Record<string, number>> = {
  hostpci: 16,
  ide: 4,
  ipconfig: 32,
  net: 32,
  numa: 8,
  parallel: 3,
  sata: 6,
  scsi: 31,
  serial: 4,
  unused: 256,
  usb: 14,
  virtio: 16,
  virtiofs: 10,
};

/** Parameters of the call that the schema lists among the options of a VM. */
const NO_OPTION = new Set(["node", "vmid", "digest", "skiplock", "delete", "revert", "force"]);

/** All routes that are known, as "METHOD /path/{parameter}". */
export function routeNames(): readonly string[] {
  return Object.keys(ROUTES);
}

/**
 * The schema of a route.
 * @param name for example "GET /nodes/{node}/qemu"
 */
export function routeSchema(name: string): RouteSchema {
  const schema = ROUTES[name];
  if (schema === undefined) throw new Error(`the schema of ${name} was not extracted`);
  return schema;
}

/** The schema of one parameter of a route, or undefined when the route does not take it. */
export function parameterSchema(route: RouteSchema, name: string): ParameterSchema | undefined {
  return own(route.properties, name) ?? (route.vmConfig === true ? find(name) : undefined);
}

/** The schema of a VM's option such as "net0", or undefined when VMs have none of that name. */
export function optionSchema(name: string): ParameterSchema | undefined {
  return NO_OPTION.has(name) ? undefined : find(name);
}

/** Whether a VM's configuration may hold it. */
export function isVmOption(name: string): boolean {
  return optionSchema(name) !== undefined;
}

/** The parameters of a route that must be given. */
export function required(route: RouteSchema): string[] {
  const all = route.vmConfig === true ? { ...VM_CONFIG, ...route.properties } : route.properties;
  return Object.entries(all)
    .filter(([, schema]) => !isOptional(schema))
    .map(([name]) => name);
}

export function isOptional(schema: ParameterSchema): boolean {
  return schema.optional !== undefined && schema.optional !== 0 && schema.optional !== "0";
}

function find(name: string): ParameterSchema | undefined {
  const exact = own(VM_CONFIG, name);
  if (exact !== undefined) return exact;
  const groups = /^(?<stem>[a-z]+)(?<number>0|[1-9]\d*)$/.exec(name)?.groups;
  const stem = groups?.stem ?? "";
  if (Number(groups?.number) >= (HOW_MANY[stem] ?? 0)) return undefined;
  return own(VM_CONFIG, `${stem}[n]`);
}

function own(schemas: PropertySchemas, name: string): ParameterSchema | undefined {
  return Object.hasOwn(schemas, name) ? schemas[name] : undefined;
}
