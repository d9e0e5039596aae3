import type { Handler, RouteTable } from "./route.ts";

export interface FoundRoute {
  /** As the schema names it: "GET /nodes/{node}/qemu". */
  readonly name: string;
  readonly handler: Handler;
  /** Values of the path's parameters, decoded. */
  readonly params: Readonly<Record<string, string>>;
}

/**
 * Find the handler of a path. Slashes at the end and doubled ones do not count; a volume takes the rest of the path,
 * because its name holds slashes.
 * @param path below /api2/json, its parts percent-encoded or not
 */
export function findRoute(table: RouteTable, method: string, path: string): FoundRoute | undefined {
  const parts = path.split("/").filter((part) => part !== "");
  const matches = Object.entries(table).flatMap(([name, handler]) => {
    const params = match(name, method, parts);
    return params === undefined ? [] : [{ name, handler, params }];
  });
  // A fixed name goes before a parameter at the same place.
  return matches.sort((a, b) => Object.keys(a.params).length - Object.keys(b.params).length)[0];
}

function match(name: string, method: string, parts: readonly string[]): Record<string, string> | undefined {
  const [wanted, template = ""] = name.split(" ");
  if (wanted !== method) return undefined;
  const pattern = template.split("/").filter((part) => part !== "");
  const params: Record<string, string> = {};
  for (const [index, part] of pattern.entries()) {
    const parameter = /^\{(?<name>.+)\}$/.exec(part)?.groups?.name;
    if (parameter === "volume" && index < parts.length) {
      return { ...params, volume: decode(parts.slice(index).join("/")) };
    }
    const given = parts[index];
    if (given === undefined) return undefined;
    if (parameter !== undefined) params[parameter] = decode(given);
    else if (decode(given) !== part) return undefined;
  }
  return pattern.length === parts.length ? params : undefined;
}

/** A percent sign that begins no code stands for itself, as the server takes it. */
function decode(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (codes) => {
    try {
      return decodeURIComponent(codes);
    } catch {
      return codes;
    }
  });
}
