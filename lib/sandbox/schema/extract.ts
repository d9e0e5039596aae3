import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/**
 * Takes what the sandbox needs out of the API's own schema; run by hand when a route is added:
 *   npx tsx lib/sandbox/schema/extract.ts ../shared/pve/apidoc.json && npx biome check --write lib/sandbox/schema
 * Kept are facts that validation and permission checks need; texts are left out.
 */

const ROUTES = [
  "GET /version",
  "GET /access/acl",
  "PUT /access/acl",
  "GET /access/domains",
  "GET /access/permissions",
  "GET /access/roles",
  "POST /access/roles",
  "DELETE /access/roles/{roleid}",
  "GET /access/roles/{roleid}",
  "PUT /access/roles/{roleid}",
  "POST /access/ticket",
  "GET /access/users",
  "POST /access/users",
  "DELETE /access/users/{userid}",
  "GET /access/users/{userid}",
  "PUT /access/users/{userid}",
  "GET /access/users/{userid}/token",
  "DELETE /access/users/{userid}/token/{tokenid}",
  "GET /access/users/{userid}/token/{tokenid}",
  "POST /access/users/{userid}/token/{tokenid}",
  "PUT /access/users/{userid}/token/{tokenid}",
  "GET /cluster/nextid",
  "GET /cluster/options",
  "GET /cluster/resources",
  "GET /cluster/status",
  "GET /cluster/tasks",
  "GET /nodes",
  "GET /nodes/{node}/certificates/info",
  "GET /nodes/{node}/dns",
  "GET /nodes/{node}/network",
  "GET /nodes/{node}/qemu",
  "POST /nodes/{node}/qemu",
  "GET /nodes/{node}/qemu/{vmid}",
  "DELETE /nodes/{node}/qemu/{vmid}",
  "POST /nodes/{node}/qemu/{vmid}/agent/exec",
  "GET /nodes/{node}/qemu/{vmid}/agent/exec-status",
  "GET /nodes/{node}/qemu/{vmid}/agent/file-read",
  "GET /nodes/{node}/qemu/{vmid}/agent/get-host-name",
  "GET /nodes/{node}/qemu/{vmid}/agent/get-osinfo",
  "GET /nodes/{node}/qemu/{vmid}/agent/get-users",
  "GET /nodes/{node}/qemu/{vmid}/agent/info",
  "GET /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces",
  "POST /nodes/{node}/qemu/{vmid}/agent/ping",
  "POST /nodes/{node}/qemu/{vmid}/clone",
  "GET /nodes/{node}/qemu/{vmid}/cloudinit",
  "PUT /nodes/{node}/qemu/{vmid}/cloudinit",
  "GET /nodes/{node}/qemu/{vmid}/cloudinit/dump",
  "GET /nodes/{node}/qemu/{vmid}/config",
  "POST /nodes/{node}/qemu/{vmid}/config",
  "PUT /nodes/{node}/qemu/{vmid}/config",
  "GET /nodes/{node}/qemu/{vmid}/feature",
  "POST /nodes/{node}/qemu/{vmid}/move_disk",
  "GET /nodes/{node}/qemu/{vmid}/pending",
  "PUT /nodes/{node}/qemu/{vmid}/resize",
  "PUT /nodes/{node}/qemu/{vmid}/sendkey",
  "GET /nodes/{node}/qemu/{vmid}/snapshot",
  "GET /nodes/{node}/qemu/{vmid}/status/current",
  "POST /nodes/{node}/qemu/{vmid}/status/reboot",
  "POST /nodes/{node}/qemu/{vmid}/status/reset",
  "POST /nodes/{node}/qemu/{vmid}/status/shutdown",
  "POST /nodes/{node}/qemu/{vmid}/status/start",
  "POST /nodes/{node}/qemu/{vmid}/status/stop",
  "POST /nodes/{node}/qemu/{vmid}/template",
  "PUT /nodes/{node}/qemu/{vmid}/unlink",
  "GET /nodes/{node}/status",
  "GET /nodes/{node}/storage",
  "GET /nodes/{node}/storage/{storage}/content",
  "POST /nodes/{node}/storage/{storage}/content",
  "DELETE /nodes/{node}/storage/{storage}/content/{volume}",
  "GET /nodes/{node}/storage/{storage}/content/{volume}",
  "POST /nodes/{node}/storage/{storage}/download-url",
  "GET /nodes/{node}/storage/{storage}/status",
  "POST /nodes/{node}/storage/{storage}/upload",
  "GET /nodes/{node}/tasks",
  "DELETE /nodes/{node}/tasks/{upid}",
  "GET /nodes/{node}/tasks/{upid}",
  "GET /nodes/{node}/tasks/{upid}/log",
  "GET /nodes/{node}/tasks/{upid}/status",
  "GET /nodes/{node}/time",
  "GET /nodes/{node}/version",
  "GET /pools",
  "GET /storage",
  "GET /storage/{storage}",
];

/** The options of a VM appear in each of these, the same: they are kept once. */
const WITH_VM_CONFIG = [
  "POST /nodes/{node}/qemu",
  "POST /nodes/{node}/qemu/{vmid}/config",
  "PUT /nodes/{node}/qemu/{vmid}/config",
];

/** What validation asks of a parameter. */
const FACTS = [
  "type",
  "optional",
  "enum",
  "pattern",
  "minimum",
  "maximum",
  "minLength",
  "maxLength",
  "format",
  "requires",
  "default",
  "default_key",
  "alias",
  "keyAlias",
];

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type JsonObject = { [key: string]: Json };

interface ApiNode {
  readonly path: string;
  readonly info?: Readonly<Record<string, JsonObject>>;
  readonly children?: readonly ApiNode[];
}

function main(apidoc: string): void {
  const infos = new Map<string, JsonObject>();
  collect(JSON.parse(readFileSync(apidoc, "utf8")) as ApiNode[], infos);
  const routes = Object.fromEntries(ROUTES.map((route) => [route, routeOf(route, infos)]));
  const shared = sharedProperties(WITH_VM_CONFIG.map((route) => propertiesOf(routes[route])));
  for (const route of WITH_VM_CONFIG) {
    const facts = routes[route] ?? {};
    const own = Object.entries(propertiesOf(facts)).filter(([name]) => !Object.hasOwn(shared, name));
    routes[route] = { ...facts, properties: Object.fromEntries(own), vmConfig: true };
  }
  write("routes.json", routes);
  write("vm-config.json", shared);
}

function collect(nodes: readonly ApiNode[], into: Map<string, JsonObject>): void {
  for (const { path, info = {}, children = [] } of nodes) {
    for (const [method, facts] of Object.entries(info)) into.set(`${method} ${path}`, facts);
    collect(children, into);
  }
}

function routeOf(route: string, infos: ReadonlyMap<string, JsonObject>): JsonObject {
  const info = infos.get(route);
  if (info === undefined) throw new Error(`the schema has no ${route}`);
  const parameters = info.parameters as JsonObject;
  const { check, user } = (info.permissions ?? {}) as JsonObject;
  return {
    properties: mapValues((parameters.properties ?? {}) as JsonObject, factsOf),
    ...(check === undefined ? {} : { check }),
    ...(user === undefined ? {} : { user }),
    ...(info.proxyto === undefined ? {} : { proxyto: info.proxyto }),
  };
}

/** A parameter's facts; a format may be a property string with facts of its own. */
function factsOf(parameter: Json): Json {
  const all = parameter as JsonObject;
  const kept = FACTS.filter((fact) => all[fact] !== undefined && all[fact] !== null).map((fact) => {
    const value = all[fact] ?? null;
    if (fact === "format" && typeof value === "object")
      return [fact, mapValues(value as JsonObject, factsOf)];
    if (fact === "pattern") return [fact, javaScriptPattern(String(value))];
    return [fact, /^m(?:in|ax)/.test(fact) ? Number(value) : value];
  });
  return Object.fromEntries(kept);
}

/** Perl prints a compiled pattern as (?^:…). */
function javaScriptPattern(pattern: string): string {
  return pattern.replaceAll("(?^:", "(?:").replaceAll("(?^i:", "(?:");
}

function sharedProperties(all: readonly JsonObject[]): JsonObject {
  const [first = {}, ...others] = all;
  const same = Object.entries(first).filter(([name, facts]) =>
    others.every((other) => JSON.stringify(other[name]) === JSON.stringify(facts)),
  );
  return Object.fromEntries(same);
}

function propertiesOf(route: JsonObject | undefined): JsonObject {
  return (route?.properties ?? {}) as JsonObject;
}

function mapValues(object: JsonObject, change: (value: Json) => Json): JsonObject {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, change(value)]));
}

function write(name: string, value: Json): void {
  writeFileSync(fileURLToPath(new URL(name, import.meta.url)), `${JSON.stringify(value, null, 2)}\n`);
}

const [apidoc] = process.argv.slice(2);
if (apidoc === undefined) throw new Error("usage: extract.ts PATH-OF-APIDOC");
main(apidoc);
