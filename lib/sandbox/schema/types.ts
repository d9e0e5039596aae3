/** What is known of a parameter, or of a key inside a property string such as net0. */
export interface ParameterSchema {
  readonly type?: "array" | "boolean" | "integer" | "number" | "string";
  readonly optional?: boolean | number | string;
  readonly enum?: readonly (string | number)[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  /** Name of a format, or the keys of a property string. */
  readonly format?: string | PropertySchemas;
  /** Another parameter that must come along. */
  readonly requires?: string;
  readonly default?: unknown;
  /** The key whose value may stand in a property string without its name. */
  readonly default_key?: number;
  /** The key that this one is another name of. */
  readonly alias?: string;
  /** With `alias`: the key whose value is this key's name ("virtio=MAC" is model=virtio,macaddr=MAC). */
  readonly keyAlias?: string;
}

export type PropertySchemas = Readonly<Record<string, ParameterSchema>>;

/** A privilege check as the schema writes it, for example ["perm", "/vms/{vmid}", ["VM.Audit"]]. */
export type PermissionCheck = readonly unknown[];

/** What the schema says of a method of a path. */
export interface RouteSchema {
  readonly properties: PropertySchemas;
  readonly check?: PermissionCheck;
  readonly user?: "all" | "world";
  /** The parameter that names the node which has to answer. */
  readonly proxyto?: string;
  /** The options of a VM are parameters too. */
  readonly vmConfig?: boolean;
}

/** Complaints by parameter, or by PARAMETER.KEY inside a property string. */
export type Complaints = Record<string, string>;
