import { parameterError } from "../../calls.ts";
import { allowed, demand } from "../../permissions.ts";
import { parseUpid, type Task } from "../../world/index.ts";
import { answer, type CallContext, guardOf, type RouteTable } from "../route.ts";

const DEFAULT_LIMIT = 50;

/** Workers: those that run and the archive. */
export const taskRoutes: RouteTable = {
  "GET /nodes/{node}/tasks": (call) => {
    const { world, params } = call;
    const source = params.text("source") ?? "archive";
    const vmid = params.text("vmid");
    const since = params.number("since");
    const until = params.number("until");
    const found = world.tasks
      .list()
      .filter((task) => mayListTask(call, task))
      .filter((task) => source === "all" || (task.exitstatus === undefined) === (source === "active"))
      .filter((task) => vmid === undefined || task.id === vmid)
      .filter((task) => (params.text("typefilter") ?? task.type) === task.type)
      .filter((task) => task.user.includes(params.text("userfilter") ?? ""))
      .filter((task) => since === undefined || task.starttime >= since)
      .filter((task) => until === undefined || task.starttime <= until)
      .filter((task) => !params.flag("errors") || (task.exitstatus ?? "OK") !== "OK");
    const start = params.number("start") ?? 0;
    const page = found.slice(start, start + (params.number("limit") ?? DEFAULT_LIMIT));
    return answer(
      page.map((task) => listed(call, task)),
      found.length === 0 ? {} : { total: found.length },
    );
  },

  "GET /nodes/{node}/tasks/{upid}": (call) => {
    upidIn(call);
    return answer([{ name: "log" }, { name: "status" }]);
  },

  "GET /nodes/{node}/tasks/{upid}/status": (call) => {
    const task = call.world.tasks.get(upidIn(call));
    if (task === undefined) throw parameterError({ upid: "no such task" });
    const { upid, type, id, user, token, pid, pstart, starttime, exitstatus } = task;
    return answer({
      upid,
      node: call.world.node,
      pid,
      pstart,
      starttime,
      type,
      id,
      user,
      ...(token === undefined ? {} : { tokenid: token }),
      status: exitstatus === undefined ? "running" : "stopped",
      ...(exitstatus === undefined ? {} : { exitstatus }),
    });
  },

  "GET /nodes/{node}/tasks/{upid}/log": (call) => {
    const { params } = call;
    const task = call.world.tasks.get(upidIn(call));
    const lines = task?.log ?? ["unable to open file - No such file or directory"];
    const start = params.number("start") ?? 0;
    const page = lines.slice(start, start + (params.number("limit") ?? DEFAULT_LIMIT));
    return answer(
      page.map((text, index) => ({ n: start + index + 1, t: text })),
      { total: lines.length },
    );
  },

  "DELETE /nodes/{node}/tasks/{upid}": (call) => {
    const upid = upidIn(call);
    const task = call.world.tasks.get(upid);
    if (task?.user !== call.caller.user) {
      demand(guardOf(call), `/nodes/${call.world.node}`, ["Sys.Modify"]);
    }
    call.world.tasks.stop(upid);
    return answer(null);
  },
};

/** People see their own tasks, and all of them with the right to audit the node. */
export function mayListTask(call: CallContext, task: Task): boolean {
  return task.user === call.caller.user || allowed(guardOf(call), `/nodes/${call.world.node}`, ["Sys.Audit"]);
}

/** The UPID in the path, for a task that the caller may see. */
function upidIn(call: CallContext): string {
  const upid = call.params.required("upid");
  const parts = parseUpid(upid);
  if (parts === undefined) throw parameterError({ upid: "unable to parse worker upid" });
  const [user] = parts.authId.split("!");
  if (user !== call.caller.user) demand(guardOf(call), `/nodes/${call.world.node}`, ["Sys.Audit"]);
  return upid;
}

function listed({ world }: CallContext, task: Task): Record<string, unknown> {
  const { upid, type, id, user, token, pid, pstart, starttime, endtime, exitstatus } = task;
  const common = { upid, node: world.node, pid, pstart, starttime, type, id };
  if (exitstatus === undefined) {
    const authId = token === undefined ? user : `${user}!${token}`;
    return { ...common, user: authId, status: "RUNNING", saved: "0" };
  }
  return {
    ...common,
    user,
    ...(token === undefined ? {} : { tokenid: token }),
    endtime,
    status: exitstatus,
  };
}
