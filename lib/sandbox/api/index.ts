/** The node's API: the dispatcher for whoever is on the node, and the HTTPS server for everybody else. */
export { createDispatch } from "./dispatch.ts";
export { routes } from "./routes/index.ts";
export { type ApiServer, type ApiServerOptions, serveApi } from "./server.ts";
