import type { RouteTable } from "../route.ts";
import { accessRoutes } from "./access.ts";
import { clusterRoutes } from "./cluster.ts";
import { nodeFactRoutes } from "./node-facts.ts";
import { nodeRoutes } from "./nodes.ts";
import { qemuRoutes } from "./qemu.ts";
import { qemuAgentRoutes } from "./qemu-agent.ts";
import { qemuConfigRoutes } from "./qemu-config.ts";
import { qemuStatusRoutes } from "./qemu-status.ts";
import { storageRoutes } from "./storage.ts";
import { storageUploadRoutes } from "./storage-upload.ts";
import { taskRoutes } from "./tasks.ts";

export { UPLOAD_ROUTE } from "./storage-upload.ts";

/** Everything that the sandbox answers. */
export const routes: RouteTable = {
  ...accessRoutes,
  ...clusterRoutes,
  ...nodeFactRoutes,
  ...nodeRoutes,
  ...qemuRoutes,
  ...qemuAgentRoutes,
  ...qemuConfigRoutes,
  ...qemuStatusRoutes,
  ...storageRoutes,
  ...storageUploadRoutes,
  ...taskRoutes,
};
