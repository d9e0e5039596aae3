import { type ApiAnswer, ApiError, type ApiRequest, type Dispatch, parameterError } from "../calls.ts";
import type { GuestRuntime } from "../hooks.ts";
import { enforce } from "../permissions.ts";
import { refusalOf } from "../refusal.ts";
import { routeSchema, validate } from "../schema/index.ts";
import type { World } from "../world/index.ts";
import { checkNode } from "./check-node.ts";
import type { CallContext } from "./route.ts";
import { findRoute } from "./router.ts";
import { routes } from "./routes/index.ts";

/**
 * Make the dispatcher: the one way into the node's operations, for the HTTPS API and for the node's own `qm`.
 * The order of checks is the server's: route, privileges, node, parameters, then the operation itself.
 */
export function createDispatch(world: World, guests: GuestRuntime): Dispatch {
  return async (request) => {
    const found = findRoute(routes, request.method, request.path);
    if (found === undefined) {
      throw new ApiError(501, `Method '${request.method} ${request.path}' not implemented`);
    }
    const schema = routeSchema(found.name);
    const params = merge(found.params, request);
    if (schema.check !== undefined) {
      enforce({ access: world.access, caller: request.caller }, schema.check, params);
    }
    if (schema.proxyto === "node") checkNode(world, found.params.node ?? "");
    const checked = validate(schema, params);
    if ("errors" in checked) throw parameterError(checked.errors);
    const call: CallContext = {
      world,
      guests,
      caller: request.caller,
      params: checked.params,
      onLog: request.onLog ?? (() => {}),
    };
    return await carryOut(async () => await found.handler(call));
  };
}

/** What the world refuses is the client's business; anything else that is thrown is a bug. */
async function carryOut(operation: () => Promise<ApiAnswer>): Promise<ApiAnswer> {
  try {
    return await operation();
  } catch (error) {
    throw refusalOf(error) ?? error;
  }
}

function merge(
  path: Readonly<Record<string, string>>,
  { params = {} }: ApiRequest,
): Readonly<Record<string, string | number | boolean | readonly string[]>> {
  for (const name of Object.keys(params)) {
    if (Object.hasOwn(path, name)) {
      throw parameterError({ [name]: "duplicate parameter (already defined in URI)" });
    }
  }
  return { ...params, ...path };
}
