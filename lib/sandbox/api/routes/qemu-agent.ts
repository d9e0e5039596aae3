import { failure } from "../../calls.ts";
import { type AgentCommand, AgentUnreachable } from "../../hooks.ts";
import { agentEnabled, vmOf } from "../../operations/index.ts";
import { guestOf } from "../../world/index.ts";
import { answer, type CallContext, type Handler, type RouteTable } from "../route.ts";

const AGENT = "/nodes/{node}/qemu/{vmid}/agent";

/** Commands without parameters, as the API and the agent both call them. */
const PLAIN = ["get-host-name", "get-osinfo", "get-users", "info", "network-get-interfaces"] as const;

/** What the guest's agent answers. */
export const qemuAgentRoutes: RouteTable = {
  ...Object.fromEntries(
    PLAIN.map((name): [string, Handler] => [
      `GET ${AGENT}/${name}`,
      async (call) => answer({ result: await ask(call, { name }) }),
    ]),
  ),

  [`POST ${AGENT}/ping`]: async (call) => answer({ result: await ask(call, { name: "ping" }) }),

  [`POST ${AGENT}/exec`]: async (call) => {
    const input = call.params.text("input-data");
    const argv = call.params.list("command");
    return answer(await ask(call, { name: "exec", argv, ...(input === undefined ? {} : { input }) }));
  },

  [`GET ${AGENT}/exec-status`]: async (call) =>
    answer(await ask(call, { name: "exec-status", pid: Number(call.params.required("pid")) })),

  [`GET ${AGENT}/file-read`]: async (call) =>
    answer(await ask(call, { name: "file-read", file: call.params.required("file") })),
};

/** @throws {ApiError} when the VM is off, has no agent, or its agent does not answer */
async function ask({ world, guests, params }: CallContext, command: AgentCommand): Promise<unknown> {
  const vm = vmOf(world, params.vmid);
  if (!agentEnabled(vm.config)) throw failure("No QEMU guest agent configured");
  if (vm.running === undefined) throw failure(`VM ${vm.vmid} is not running`);
  try {
    return await guests.agent(guestOf(vm), command);
  } catch (error) {
    if (error instanceof AgentUnreachable) throw failure(error.message);
    throw error;
  }
}
